package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ended is what the warden of a detached lab leaves when the lab ends by itself:
// nobody was there to be told. Its other side is in labd's supervisor.
type ended struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// lastWords says why a lab ended by itself; "" if that is not known, or not so.
func lastWords(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "ended.json"))
	if err != nil {
		return ""
	}
	var e ended
	if err := json.Unmarshal(b, &e); err != nil || e.Reason == "" {
		return ""
	}
	return fmt.Sprintf("; the last one ended by itself at %s: %s", e.At.Local().Format(time.DateTime), e.Reason)
}

// forget removes what a lab that is not up left behind, its last words included.
func forget(name string) {
	if parent := base(); nameRule.MatchString(name) && ours(parent) == nil {
		sweep(filepath.Join(parent, name))
		_ = os.Remove(parent) // only when it is empty
	}
}
