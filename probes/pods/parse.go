package pods

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// SetPullSecret adds the name of a pull secret.
func (o *Options) SetPullSecret(name string) error {
	if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
		return fmt.Errorf("%q is no name of a secret: %s", name, wrong[0])
	}
	o.PullSecrets = append(o.PullSecrets, name)
	return nil
}

// SetNodeSelector adds labels, which it reads as kubectl does: key=value, separated by
// commas.
func (o *Options) SetNodeSelector(text string) error {
	selector, err := labels.ConvertSelectorToLabelsMap(text)
	if err != nil {
		return fmt.Errorf("node selector %q: %w", text, err)
	}
	if o.NodeSelector == nil {
		o.NodeSelector = map[string]string{}
	}
	maps.Copy(o.NodeSelector, selector)
	return nil
}

// SetToleration adds what tolerates a taint, which is written as kubectl writes
// taints: key=value:Effect, key:Effect for any value, or key for any effect too.
func (o *Options) SetToleration(taint string) error {
	rest, effect, _ := strings.Cut(taint, ":")
	key, value, equal := strings.Cut(rest, "=")
	t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(effect)}
	if equal {
		t.Operator, t.Value = corev1.TolerationOpEqual, value
	}
	switch t.Effect {
	case "", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
	default:
		return fmt.Errorf("toleration %q: %q is no effect of a taint: use NoSchedule, PreferNoSchedule or NoExecute", taint, effect)
	}
	if wrong := validation.IsQualifiedName(key); len(wrong) > 0 {
		return fmt.Errorf("toleration %q: %q is no key of a taint: %s", taint, key, wrong[0])
	}
	if wrong := validation.IsValidLabelValue(value); len(wrong) > 0 {
		return fmt.Errorf("toleration %q: %q is no value of a taint: %s", taint, value, wrong[0])
	}
	o.Tolerations = append(o.Tolerations, t)
	return nil
}
