package manifest

import (
	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Account is a ServiceAccount with annotations, which may bind it to an identity
// of a cloud.
type Account struct {
	Source
	Annotations map[string]string
}

func (r *reading) readAccount(at Source, n *yaml.Node) {
	r.place(&at, n)
	var s struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if !r.decode(at, n, &s, "lint does not know its annotations") || len(s.Metadata.Annotations) == 0 || len(r.raw.Accounts) >= maxGathered {
		return
	}
	r.raw.Accounts = append(r.raw.Accounts, Account{Source: at, Annotations: s.Metadata.Annotations})
}
