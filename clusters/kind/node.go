package kind

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/log"
)

// architectures are Go's names of what uname calls machines.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// architecture asks a node what it is: a remote Docker may run other machines.
func architecture(node nodes.Node) (string, error) {
	var out strings.Builder
	if err := node.Command("uname", "-m").SetStdout(&out).Run(); err != nil {
		return "", err
	}
	machine := strings.TrimSpace(out.String())
	arch, known := architectures[machine]
	if !known {
		return "", fmt.Errorf("there are no images for %q", machine)
	}
	return arch, nil
}

// logger hands kind's lines on, without its detail.
type logger struct{ say func(string) }

func (l logger) Warn(message string)               { l.say(message) }
func (l logger) Warnf(format string, args ...any)  { l.say(fmt.Sprintf(format, args...)) }
func (l logger) Error(message string)              { l.say(message) }
func (l logger) Errorf(format string, args ...any) { l.say(fmt.Sprintf(format, args...)) }
func (l logger) V(level log.Level) log.InfoLogger  { return lines{l.say, level == 0} }

// plain takes out what makes a coloured picture of the sign before it: it has no width,
// and is no text.
var plain = strings.NewReplacer("\ufe0f", "")

type lines struct {
	say     func(string)
	enabled bool
}

func (l lines) Info(message string) {
	if text := strings.TrimSpace(plain.Replace(message)); l.enabled && text != "" {
		l.say(text)
	}
}
func (l lines) Infof(format string, args ...any) { l.Info(fmt.Sprintf(format, args...)) }
func (l lines) Enabled() bool                    { return l.enabled }
