package standin

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/catalog"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// Config says what to stand in for and whom to call.
type Config struct {
	// Profile of the catalog: ports, health paths and behaviour come from it.
	Profile string `json:"profile"`
	// Calls made in the service's own work.
	Calls []Call `json:"calls,omitempty"`
	// Every is the pause between two calls to one target, a duration such as
	// "500ms"; empty means that.
	Every string `json:"every,omitempty"`
}

// Call is something the service asks of another one.
type Call struct {
	Profile string `json:"profile"` // of the one that is called
	Request string `json:"request"` // name of one of that profile's requests
	Address string `json:"address"` // host:port, the host usually a Service's name such as model.ai.svc
}

// String is the form that ParseCall reads.
func (c Call) String() string { return c.Profile + "/" + c.Request + "@" + c.Address }

// ParseCall reads profile/request@host:port, for example
// litellm/chat@llm-gateway.ai.svc:4000.
func ParseCall(text string) (Call, error) {
	what, address, ok := strings.Cut(text, "@")
	profile, request, named := strings.Cut(what, "/")
	if !ok || !named {
		return Call{}, fmt.Errorf("call %q is not of the form profile/request@host:port", text)
	}
	c := Call{Profile: profile, Request: request, Address: address}
	if _, err := c.resolve(); err != nil {
		return Call{}, err
	}
	return c, nil
}

// resolve finds the request in the catalog and checks the address.
func (c Call) resolve() (catalog.Request, error) {
	p, err := catalog.Get(c.Profile)
	if err != nil {
		return catalog.Request{}, fmt.Errorf("call %s: %w", c, err)
	}
	r, ok := p.Request(c.Request)
	if !ok {
		return catalog.Request{}, fmt.Errorf("call %s: profile %s has no request %q", c, c.Profile, c.Request)
	}
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return catalog.Request{}, fmt.Errorf("call %s: %w", c, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return catalog.Request{}, fmt.Errorf("call %s: address %q needs a host and a port from 1 to 65535", c, c.Address)
	}
	return r, nil
}

// ReadConfig reads a YAML or JSON file. Unknown fields are refused.
func ReadConfig(file string) (Config, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > maxConfig {
		return Config{}, fmt.Errorf("configuration %s has %d bytes, more than %d", file, info.Size(), maxConfig)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	var c Config
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

// every is the pause between calls.
func (c Config) every() (time.Duration, error) {
	if c.Every == "" {
		return 500 * time.Millisecond, nil
	}
	d, err := time.ParseDuration(c.Every)
	if err != nil || d < time.Millisecond {
		return 0, fmt.Errorf("every %q is not a duration of at least 1ms", c.Every)
	}
	return d, nil
}
