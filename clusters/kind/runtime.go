package kind

import (
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"

	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/exec"
)

// providerEnv chooses what runs the containers, as it does for the kind command.
const providerEnv = "KIND_EXPERIMENTAL_PROVIDER"

// maxSaid bounds what is told of a program's output, in bytes: its end says what failed.
const maxSaid = 2000

// runtime is what runs containers here.
func runtime() (cluster.ProviderOption, error) {
	switch name := os.Getenv(providerEnv); name {
	case "":
	case "docker":
		return cluster.ProviderWithDocker(), nil
	case "podman":
		return cluster.ProviderWithPodman(), nil
	case "nerdctl", "finch", "nerdctl.lima":
		return cluster.ProviderWithNerdctl(name), nil
	default:
		return nil, fmt.Errorf("%w: %s=%q is none of docker, podman and nerdctl", ErrUnavailable, providerEnv, name)
	}
	found, err := cluster.DetectNodeProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: %w; kind needs Docker, Podman or nerdctl, running and usable by you (docker version)", ErrUnavailable, err)
	}
	return found, nil
}

// deletion is what a person types to delete a cluster. Who has no kind command has
// what runs the containers.
func deletion(name string) string {
	line := "kind delete cluster --name " + name
	if _, err := osexec.LookPath("kind"); err == nil {
		return line
	}
	for _, program := range []string{os.Getenv(providerEnv), "docker", "nerdctl", "podman"} {
		if _, err := osexec.LookPath(program); program != "" && err == nil {
			return fmt.Sprintf("%s (without the kind command: %s rm --force --volumes $(%s ps --all --quiet --filter label=io.x-k8s.kind.cluster=%s))", line, program, program, name)
		}
	}
	return line
}

// said is an error of kind's with what the program said that failed: kind keeps that
// apart, and without it an error is a command line and "exit status 1".
func said(err error) error {
	ran, ok := errors.AsType[*exec.RunError](err)
	if !ok {
		return err
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(ran.Output)), "?")
	if text == "" {
		return err
	}
	if over := len(text) - maxSaid; over > 0 {
		text = "… " + strings.ToValidUTF8(text[over:], "")
	}
	return fmt.Errorf("%w: %s", err, text)
}
