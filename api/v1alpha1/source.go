package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// Source is an object of a run's namespace that its plan was made of, and the digest of
// what it said then: the rollout names it, and its own generation knows nothing of it.
type Source struct {
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Digest ("sha256:…") of the spec of a suite, or of the data of a ConfigMap.
	Digest string `json:"digest"`
}

// SuiteSource is a suite as a source.
func SuiteSource(suite *ConnectivitySuite) Source {
	return Source{Kind: "ConnectivitySuite", Name: suite.Name, Digest: contentDigest(suite.Spec)}
}

// ConfigMapSource is a ConfigMap with policies as a source.
func ConfigMapSource(cm *corev1.ConfigMap) Source {
	text, binary := cm.Data, cm.BinaryData
	if len(text) == 0 { // one encoding knows an empty map, and another does not
		text = nil
	}
	if len(binary) == 0 {
		binary = nil
	}
	return Source{Kind: "ConfigMap", Name: cm.Name, Digest: contentDigest([]any{text, binary})}
}

// contentDigest is of the Go types as JSON: see TestDigestsStayAsTheyAre before one is changed.
func contentDigest(content any) string {
	raw, err := json.Marshal(content)
	if err != nil {
		panic(err) // plain data always marshals
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
