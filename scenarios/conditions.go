package scenarios

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// conditionMessage is the first message that explains a refusal.
func conditionMessage(conditions []metav1.Condition) string {
	for _, c := range conditions {
		if c.Type == "Stalled" && c.Status == metav1.ConditionTrue {
			return c.Message
		}
	}
	return "no reason was recorded"
}
