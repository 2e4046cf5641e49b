package rollout

import (
	"fmt"
	"strings"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// ExceptionYAML is the part of a PolicyRollout that accepts something of the given
// paths, for its author to fill in the reason.
func ExceptionYAML(t v1alpha1.ExceptionType, paths ...string) string {
	var b strings.Builder
	b.WriteString("spec:\n  exceptions:")
	for _, path := range paths {
		fmt.Fprintf(&b, "\n  - {type: %s, path: %q, reason: %q}", t, path, "say why")
	}
	return b.String()
}
