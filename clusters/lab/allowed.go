package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrForbidden is wrapped when this machine does not let an ordinary user make
// the namespaces that a lab is built of.
var ErrForbidden = errors.New("this machine forbids the lab")

// wayOn is the end of every refusal: the lab is not the only cluster.
const wayOn = "or use another cluster: tightrope run --cluster current"

const probeDeadline = 20 * time.Second

// Allowed tests whether a lab can be isolated on this machine by doing it: it
// makes the namespaces, mounts a root, brings an interface up and adds a packet
// filter table. Errors wrap ErrForbidden and name the setting to change.
func Allowed() error {
	labd, err := FindLabd("")
	if err != nil {
		return err
	}
	return allowed(labd)
}

func allowed(labd string) error {
	ctx, stop := context.WithTimeout(context.Background(), probeDeadline)
	defer stop()
	out, err := exec.CommandContext(ctx, labd, "probe").Output()
	if err != nil {
		return fmt.Errorf("test whether a lab is allowed here: %w", err)
	}
	var r refusal
	if err := json.Unmarshal(out, &r); err != nil {
		return fmt.Errorf("test whether a lab is allowed here: %w", err)
	}
	if r.Step == "" {
		return nil
	}
	return fmt.Errorf("%w: %w: %s", ErrRefused, ErrForbidden, r.sentence(settings()))
}

// refusal is what labd could not do. Its other side is in labd's supervisor.
type refusal struct {
	Step  string        `json:"step"`
	Errno syscall.Errno `json:"errno"`
	Error string        `json:"error"`
}

const (
	cloneSetting    = "kernel.unprivileged_userns_clone"
	appArmorSetting = "kernel.apparmor_restrict_unprivileged_userns"
)

// limits are the kernel's counts of namespaces, of each kind that a lab needs.
var limits = map[string]string{
	"user.max_user_namespaces": "10000", "user.max_net_namespaces": "10000", "user.max_mnt_namespaces": "10000",
	"user.max_pid_namespaces": "10000", "user.max_uts_namespaces": "10000", "user.max_ipc_namespaces": "10000",
}

// settings reads the settings that may stand in the way. Missing ones do not
// exist on this kernel.
func settings() map[string]string {
	found := map[string]string{}
	for _, name := range append(slices.Collect(maps.Keys(limits)), cloneSetting, appArmorSetting) {
		b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err == nil {
			found[name] = strings.TrimSpace(string(b))
		}
	}
	return found
}

// sentence names the cause of a refusal, as the settings tell it, and what to do.
func (r refusal) sentence(have map[string]string) string {
	denied := r.Errno == syscall.EPERM || r.Errno == syscall.EACCES
	switch {
	case r.Step == "clone" && r.Errno == syscall.ENOSPC:
		return limitSentence(have)
	case r.Step == "clone" && (r.Errno == syscall.EINVAL || r.Errno == syscall.ENOSYS):
		return "its kernel has no user namespaces (CONFIG_USER_NS); " + wayOn
	case denied && have[cloneSetting] == "0":
		return change(cloneSetting, "0", "1")
	case denied && have[appArmorSetting] == "1":
		return "AppArmor restricts user namespaces: " + change(appArmorSetting, "1", "0")
	case denied && r.Step == "mount /proc":
		return "parts of /proc are masked, as in a container, so a new /proc cannot be mounted; " +
			"start the container with --security-opt systempaths=unconfined, " + wayOn
	case denied:
		return fmt.Sprintf("a sandbox refuses it (%s), as Docker's seccomp profile does; "+
			"start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined, %s", r.Error, wayOn)
	case r.Step == "add an nftables table":
		return fmt.Sprintf("its kernel has no nftables (%s); load it with `sudo modprobe nf_tables`, %s", r.Error, wayOn)
	}
	return fmt.Sprintf("%s; %s", r.Error, wayOn)
}

func limitSentence(have map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if have[name] == "0" {
			return change(name, "0", limits[name])
		}
	}
	const users = "user.max_user_namespaces"
	return fmt.Sprintf("its limit of namespaces is reached (%s is %s, or namespaces are nested too deep); "+
		"raise it with `sudo sysctl -w %s=100000`, %s", users, have[users], users, wayOn)
}

func change(name, is, should string) string {
	return fmt.Sprintf("%s is %s; set it with `sudo sysctl -w %s=%s`, %s", name, is, name, should, wayOn)
}
