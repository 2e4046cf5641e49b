package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/archive"
)

// Argument is the first argument of the binary that makes it a container-init.
const Argument = "container-init"

// Descriptors of a container-init, besides its output.
const (
	FDSpec   = 3 // the Spec, JSON, to read until its end
	FDStatus = 4 // an error's text, or end of file once the program runs
)

// ExecArgument is the first argument of the binary that makes it a container-exec.
const ExecArgument = "container-exec"

const maxSpec = 8 << 20 // environments and commands are bounded by the API's object size

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"

var _ = takeOver()

// takeOver runs container-init, and what else runs inside containers, while packages
// are being initialised. A node runs commands in containers by starting its own
// binary again, and that has all of Kubernetes in it, whose initialisation takes a
// tenth of a second of processor time; none of it is needed here.
func takeOver() bool {
	switch {
	case len(os.Args) == 0:
	case archive.Command(os.Args[0]) != nil:
		os.Exit(archive.Command(os.Args[0])(os.Args[1:]))
	case len(os.Args) > 1 && os.Args[1] == Argument:
		os.Exit(Main(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == ExecArgument:
		os.Exit(execMain(os.Args[2:]))
	}
	return false
}

// Main is `labd container-init`. It returns only when the program could not be
// started; the runtime then has the reason from FDStatus.
func Main([]string) int {
	runtime.LockOSThread() // capabilities are a thread's
	status := os.NewFile(FDStatus, "status")
	if _, err := status.Stat(); err != nil {
		fmt.Fprintln(os.Stderr, "labd container-init is started by the lab's runtime, never by hand")
		return 1
	}
	unix.CloseOnExec(FDStatus)
	err := start(os.NewFile(FDSpec, "spec"))
	_, _ = io.WriteString(status, err.Error())
	return 128
}

// start never returns nil: on success the process is another program.
func start(from io.ReadCloser) error {
	var s Spec
	if err := json.NewDecoder(io.LimitReader(from, maxSpec)).Decode(&s); err != nil {
		return fmt.Errorf("read the container's specification: %w", err)
	}
	from.Close()
	if err := s.validate(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("set host name %q: %w", s.Hostname, err)
	}
	if err := buildRoot(&s); err != nil {
		return err
	}
	if err := enterDir(s.Dir); err != nil {
		return err
	}
	env := Environment(s.Env, s.Hostname)
	program, err := LookUp(s.Argv[0], env)
	if err != nil {
		return err
	}
	if err := s.Privileges.Apply(s.User); err != nil {
		return err
	}
	err = unix.Exec(program, s.Argv, env)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("exec %s: %w: the file is there, its interpreter is not: the image was mapped to a static program, and this one is not", program, err)
	}
	return fmt.Errorf("exec %s: %w", program, err)
}

func enterDir(dir string) error {
	if dir == "" {
		dir = "/"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

// LookUp finds a command in the root of the calling thread, as a shell would: as it
// is if it names a path, else along the PATH of env.
func LookUp(name string, env []string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for dir := range strings.SplitSeq(value(env, "PATH"), ":") {
			candidates = append(candidates, path.Join("/", dir, name))
		}
	}
	for _, c := range candidates {
		if st, err := os.Stat(c); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return c, nil
		}
	}
	if all := programs(); len(all) < 20 {
		return "", fmt.Errorf("exec %q: %w: an image of the lab holds one program and no shell; it has %s",
			name, fs.ErrNotExist, strings.Join(all, ", "))
	}
	return "", fmt.Errorf("exec %q: %w on this machine, whose programs the image shows", name, fs.ErrNotExist)
}

func programs() (names []string) {
	entries, _ := os.ReadDir("/bin")
	for _, e := range entries {
		names = append(names, "/"+e.Name())
	}
	return names
}

// Environment adds what every container has, unless the pod says otherwise.
func Environment(env []string, hostname string) []string {
	for _, def := range []string{defaultPath, "HOSTNAME=" + hostname, "HOME=/root"} {
		key, _, _ := strings.Cut(def, "=")
		if value(env, key) == "" {
			env = append(env, def)
		}
	}
	return env
}

// value is the last one of a variable, as programs see it, or empty.
func value(env []string, key string) (last string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, key+"="); ok {
			last = v
		}
	}
	return last
}
