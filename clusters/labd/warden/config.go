package warden

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// MaxNodes keeps node addresses inside the underlay's first /24 and pod
// networks inside 10.244.0.0/16.
const MaxNodes = 200

const maxSocketPath = 107 // bytes, sockaddr_un without its final zero

// Config is what one lab is asked to be. The warden passes it to the processes
// inside the namespaces as JSON.
type Config struct {
	Name      string            `json:"name"`
	Dir       string            `json:"dir"`       // the one directory outside, absolute
	Nodes     int               `json:"nodes"`     // 0: API server and controller manager only
	Dataplane string            `json:"dataplane"` // profile of the nodes' data planes
	Families  layout.Families   `json:"families"`
	Images    map[string]string `json:"images"`    // image name without tag → absolute path, and arguments, outside
	Layout    string            `json:"layout"`    // absolute path of an OCI layout whose images replace those of the same names; empty: none
	Host      []string          `json:"host"`      // those of the paths whose programs need files of the machine
	Port      int               `json:"port"`      // of the listener on 127.0.0.1
	Labd      string            `json:"labd"`      // absolute path of this binary, outside
	Hyperkube string            `json:"hyperkube"` // and of Kubernetes' programs; empty: the lab has none
	Stamp     string            `json:"stamp"`     // of the build that both must be of
	Lifeline  int               `json:"-"`         // descriptor whose end of file ends the lab; -1: none
}

type images map[string]string

func (m images) String() string { return "" }

func (m images) Set(s string) error {
	name, path, ok := strings.Cut(s, "=")
	if !ok || name == "" || !filepath.IsAbs(path) {
		return fmt.Errorf("image %q: want NAME=/absolute/path", s)
	}
	m[name] = path
	return nil
}

var nameRule = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

func parseConfig(args []string) (Config, error) {
	c := Config{Images: map[string]string{}}
	fs := flag.NewFlagSet("labd up", flag.ContinueOnError)
	fs.StringVar(&c.Name, "name", "default", "the lab's name")
	fs.StringVar(&c.Dir, "dir", "", "the one directory outside; created, and removed at the end")
	fs.IntVar(&c.Nodes, "nodes", 2, "number of nodes; 0 means an API server and a controller manager only")
	fs.StringVar(&c.Dataplane, "dataplane", "enforce", "profile of the nodes' data planes")
	fs.StringVar((*string)(&c.Families), "ip-families", string(layout.IPv4), "IPv4, IPv6 or IPv4,IPv6")
	fs.Var(images(c.Images), "image", "NAME=/path/of/program, repeatable; with what it needs of the machine when it is not static; or NAME=/folder /program/in/it")
	fs.StringVar(&c.Layout, "image-layout", "", "absolute path of an OCI layout whose images pods can run")
	fs.IntVar(&c.Lifeline, "lifeline", -1, "inherited descriptor; its end of file ends the lab unless a byte came first")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	return c, c.complete()
}

// complete checks what the flags gave and adds what only this process knows.
func (c *Config) complete() error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	c.Labd = exe
	if _, err := layout.ParseFamilies(string(c.Families)); err != nil {
		return fmt.Errorf("--ip-families: %w", err)
	}
	switch {
	case !nameRule.MatchString(c.Name):
		return fmt.Errorf("lab name %q: use at most 32 lower-case letters, digits and dashes", c.Name)
	case !filepath.IsAbs(c.Dir):
		return errors.New("--dir: an absolute path is needed")
	case len(c.Dir)+1+len(socketFile) > maxSocketPath:
		return fmt.Errorf("directory %s: its path is too long for a Unix socket in it (%d bytes at most); set TMPDIR or XDG_RUNTIME_DIR to a shorter one", c.Dir, maxSocketPath)
	case c.Nodes < 0 || c.Nodes > MaxNodes:
		return fmt.Errorf("--nodes=%d: between 0 and %d", c.Nodes, MaxNodes)
	}
	if err := c.checkLayout(); err != nil {
		return err
	}
	if _, err := profile.Parse(c.Dataplane, profile.Profile{}); err != nil {
		return fmt.Errorf("--dataplane: %w", err)
	}
	for name, command := range c.Images {
		path, program, _ := strings.Cut(command, " ")
		if folder(path) {
			if !strings.HasPrefix(program, "/") {
				return fmt.Errorf("image %s: %s is a folder: say which program of it to run, as --image '%s=%s /bin/program'", name, path, name, path)
			}
			continue
		}
		if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			return fmt.Errorf("image %s: %s is not an executable file; build it, or name another with --image", name, path)
		}
	}
	return c.findHostPrograms()
}

// checkLayout refuses what cannot be a layout. What is in it is read inside.
func (c *Config) checkLayout() error {
	if c.Layout == "" {
		return nil
	}
	if !filepath.IsAbs(c.Layout) {
		return fmt.Errorf("--image-layout %s: an absolute path is needed", c.Layout)
	}
	if st, err := os.Stat(filepath.Join(c.Layout, "index.json")); err != nil || !st.Mode().IsRegular() {
		return fmt.Errorf("--image-layout %s is no OCI layout: there is no file index.json in it; `make images` makes one", c.Layout)
	}
	return nil
}

// findHyperkube finds Kubernetes' programs beside this one.
func (c *Config) findHyperkube() error {
	c.Hyperkube = filepath.Join(filepath.Dir(c.Labd), filepath.Base(layout.Hyperkube))
	if st, err := os.Stat(c.Hyperkube); err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return fmt.Errorf("no program hyperkube beside %s, which has Kubernetes in it; build both with `make labd`, and keep them together", c.Labd)
	}
	return nil
}

func (c Config) encode() string {
	b, _ := json.Marshal(c) // strings, ints and a map of strings: cannot fail
	return string(b)
}

// DecodeConfig is for the processes inside the namespaces.
func DecodeConfig(args []string) (c Config, err error) {
	if len(args) != 1 {
		return c, errors.New("this command is started by labd up, never by hand")
	}
	return c, json.Unmarshal([]byte(args[0]), &c)
}
