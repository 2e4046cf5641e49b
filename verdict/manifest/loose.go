package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// groupKind is a kind in any version of its group.
type groupKind struct{ group, kind string }

// loose are kinds that tell something about pods and connections and are no
// objects of policies: no verdict between pods that the input declares depends on
// them. They are read no further than needed, and not strictly: what cannot be
// read is noted.
var loose = looseKinds()

func looseKinds() map[groupKind]func(*reading, Source, *yaml.Node) {
	all := map[groupKind]func(*reading, Source, *yaml.Node){{"", "ServiceAccount"}: (*reading).readAccount}
	for _, kinds := range []map[groupKind]func(*reading, Source, *yaml.Node){monitors, entrances, operators} {
		maps.Copy(all, kinds)
	}
	return all
}

// loosely counts the objects that were read in this way.
func (r *raw) loosely() int {
	return len(r.Customs) + len(r.Monitors) + len(r.Scrapers) + len(r.Entrances) + len(r.Accounts) + len(r.operated)
}

// place fills in the name and the namespace of an object.
func (r *reading) place(at *Source, n *yaml.Node) {
	at.Name, at.Namespace = text(n, "metadata", "name"), text(n, "metadata", "namespace")
	if at.Namespace == "" {
		at.Namespace = r.options.Namespace
	}
}

// decode reads as much of an object as into has fields for. It notes what keeps it
// from that, and what is not known then.
func (r *reading) decode(at Source, n *yaml.Node, into any, unknown string) bool {
	err := convert(n, into)
	if err == nil {
		return true
	}
	r.note(at.Position, at.subject(), "cannot be read, so %s: %s", unknown, strict.Brief(strict.Show(err.Error())))
	return false
}

// convert goes by way of JSON, so that Kubernetes' own types can be read.
func convert(n *yaml.Node, into any) error {
	var value any
	if err := n.Decode(&value); err != nil {
		var kinds *yaml.TypeError
		if errors.As(err, &kinds) && len(kinds.Errors) > 0 { // its lines count from where the document begins
			_, what, _ := strings.Cut(kinds.Errors[0], ": ")
			return errors.New(what)
		}
		return err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("has no form in JSON: %w", err) // such as a key that is a list
	}
	err = json.Unmarshal(raw, into)
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		return fmt.Errorf("%s has the form of %s", kind.Field, kind.Value)
	}
	return err
}
