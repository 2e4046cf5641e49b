// Package apifault spoils. It makes the API server slow or unhelpful to one
// client, and to nobody else. Who holds a fault writes its Rule to a File; the
// API server's Handler, in front of all its others, looks there at every request,
// so a rule works from the moment it is written and outlives the API server.
package apifault

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Exempt is the user agent of the one who undoes faults: no rule is about it.
const Exempt = "tightrope-lab-supervisor"

// longest bounds a rule's delay.
const longest = time.Hour

// Rule is about the requests that match every field that is set. It needs a
// User or an Agent, and a Delay or a Status.
type Rule struct {
	User      string        `json:"user,omitempty"`      // the authenticated name, as system:serviceaccount:NAMESPACE:NAME
	Agent     string        `json:"agent,omitempty"`     // how the User-Agent begins
	Verbs     []string      `json:"verbs,omitempty"`     // get, list, watch, create, …; none means all
	Resources []string      `json:"resources,omitempty"` // pods, pods/log, …; none means all requests
	Delay     time.Duration `json:"delay,omitempty"`     // before the request is treated
	Status    int           `json:"status,omitempty"`    // HTTP status to fail with; 0 means not to
}

// Check says what is wrong with a rule.
func (r Rule) Check() error {
	switch {
	case r.User == "" && r.Agent == "":
		return errors.New("api: name one client, by its user or its user agent")
	case r.Delay < 0 || r.Delay > longest:
		return fmt.Errorf("api: delay %v: between 0 and %v", r.Delay, longest)
	case r.Status != 0 && (r.Status < 400 || r.Status > 599):
		return fmt.Errorf("api: status %d: want one that says that a request failed, 400 to 599", r.Status)
	case r.Delay == 0 && r.Status == 0:
		return errors.New("api: say what happens to the requests: a delay, a status, or both")
	}
	return nil
}

// String is a line for people.
func (r Rule) String() string {
	var words []string
	say := func(when bool, format string, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	say(len(r.Verbs) > 0, "%s", strings.Join(r.Verbs, ","))
	say(len(r.Resources) > 0, "%s", strings.Join(r.Resources, ","))
	say(len(r.Verbs)+len(r.Resources) == 0, "requests")
	say(r.User != "", "of user %s", r.User)
	say(r.Agent != "", "of agent %s", r.Agent)
	say(r.Delay > 0, "take %v longer", r.Delay)
	say(r.Status != 0, "fail with %d %s", r.Status, http.StatusText(r.Status))
	return strings.Join(words, " ")
}

// request is what rules look at.
type request struct{ user, agent, verb, resource string }

func (r Rule) matches(q request) bool {
	return (r.User == "" || r.User == q.user) && strings.HasPrefix(q.agent, r.Agent) &&
		(len(r.Verbs) == 0 || slices.Contains(r.Verbs, q.verb)) &&
		(len(r.Resources) == 0 || slices.Contains(r.Resources, q.resource))
}

// File is where rules are written, by one process.
type File struct {
	path  string
	mu    sync.Mutex
	rules map[int]Rule
}

// OpenFile is a file without rules, which need not exist.
func OpenFile(path string) *File { return &File{path: path, rules: map[int]Rule{}} }

// Add adds a rule under a number; requests from now on see it.
func (f *File) Add(id int, r Rule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules[id] = r
	return f.write()
}

// Remove removes a rule; one that is not there is fine.
func (f *File) Remove(id int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rules, id)
	return f.write()
}

// write replaces the file, so that readers see the old or the new one, and has
// none where there are no rules.
func (f *File) write() error {
	if len(f.rules) == 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rules for API requests: %w", err)
		}
		return nil
	}
	var list []Rule
	for _, id := range slices.Sorted(maps.Keys(f.rules)) {
		list = append(list, f.rules[id])
	}
	b, err := json.Marshal(list)
	if err == nil {
		err = os.WriteFile(f.path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(f.path+".new", f.path)
	}
	if err != nil {
		return fmt.Errorf("rules for API requests: %w", err)
	}
	return nil
}
