package lint

import (
	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// position is where a field stands, given from the policy's root.
func (p *policy) position(field path) Position {
	where := Position{File: p.source.File, Field: field.String()}
	tree := content(p.tree())
	if where.File == "" || tree == nil {
		return where
	}
	if p.source.Built() { // the tree is in no file
		at := p.source.Where(p.root.plus(field...).String())
		where.File, where.Line = at.File, at.Line
		return where
	}
	// Whether the tree counts lines from its document or from its file, its
	// first line is the object's.
	where.Line = p.source.Line + lineOf(tree, p.root.plus(field...)) - tree.Line
	return where
}

// tree is the object that the policy stands in as it was written, with merge keys
// written out: an edit would have to know which of two maps a field comes from.
// It is nil without a source.
func (p *policy) tree() *yaml.Node {
	if !p.read {
		p.read = true
		if node := p.source.Node(); node != nil {
			p.node = manifest.Plain(node)
		}
	}
	return p.node
}

// document is the whole document with the edits made in their order; empty where
// it cannot be written, which does not happen for a document that was read.
func (p *policy) document(changes []edit) string {
	tree, root := p.tree(), p.root
	if tree == nil {
		tree, root = encoded(p.object), nil
	}
	out, err := corrected(tree, within(root, changes))
	if err != nil {
		return ""
	}
	return out
}

// within makes edits of a policy those of the document that it stands in.
func within(root path, changes []edit) edit {
	return func(doc *yaml.Node) {
		if own := lookup(doc, root); own != nil {
			edits(changes...)(own)
		}
	}
}

// encoded writes an object that has no source, without what the API server added.
func encoded(np *networkingv1.NetworkPolicy) *yaml.Node {
	bare := networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: np.Namespace, Name: np.Name, Labels: np.Labels},
		Spec:       np.Spec,
	}
	for k, v := range np.Annotations {
		if k != lastApplied {
			metav1.SetMetaDataAnnotation(&bare.ObjectMeta, k, v)
		}
	}
	text, err := kyaml.Marshal(bare)
	if err != nil {
		return nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil
	}
	return &doc
}

// lastApplied is kubectl's copy of the manifest, which an edit would outdate.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
