package lab

import (
	"strings"
	"syscall"
	"testing"
)

func TestEveryRefusalNamesItsSettingAndTheWayOn(t *testing.T) {
	open := map[string]string{"user.max_user_namespaces": "5000", cloneSetting: "1", appArmorSetting: "0"}
	but := func(name, value string) map[string]string {
		m := map[string]string{name: value}
		for k, v := range open {
			if k != name {
				m[k] = v
			}
		}
		return m
	}
	for _, tt := range []struct {
		name string
		got  refusal
		have map[string]string
		want []string
	}{
		{"user namespaces are turned off", refusal{Step: "clone", Errno: syscall.ENOSPC}, but("user.max_user_namespaces", "0"),
			[]string{"user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=10000"}},
		{"network namespaces are turned off", refusal{Step: "clone", Errno: syscall.ENOSPC}, but("user.max_net_namespaces", "0"),
			[]string{"user.max_net_namespaces is 0"}},
		{"the limit is reached", refusal{Step: "clone", Errno: syscall.ENOSPC}, open,
			[]string{"user.max_user_namespaces is 5000", "limit"}},
		{"Debian's switch is off", refusal{Step: "clone", Errno: syscall.EPERM}, but(cloneSetting, "0"),
			[]string{cloneSetting + " is 0", cloneSetting + "=1"}},
		{"Ubuntu's AppArmor denies after the clone", refusal{Step: "make mounts private", Errno: syscall.EACCES}, but(appArmorSetting, "1"),
			[]string{appArmorSetting + " is 1", appArmorSetting + "=0"}},
		{"Docker's seccomp profile", refusal{Step: "clone", Errno: syscall.EPERM, Error: "operation not permitted"}, open,
			[]string{"seccomp=unconfined"}},
		{"a masked /proc", refusal{Step: "mount /proc", Errno: syscall.EPERM}, open, []string{"systempaths=unconfined"}},
		{"no nftables in the kernel", refusal{Step: "add an nftables table", Errno: syscall.EOPNOTSUPP}, open, []string{"modprobe nf_tables"}},
		{"a kernel without user namespaces", refusal{Step: "clone", Errno: syscall.EINVAL}, open, []string{"CONFIG_USER_NS"}},
		{"anything else shows the error", refusal{Step: "mount a tmpfs", Errno: syscall.ENOMEM, Error: "mount a tmpfs: out of memory"}, open,
			[]string{"out of memory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.got.sentence(tt.have)
			for _, want := range append(tt.want, "--cluster current") {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not contain %q", got, want)
				}
			}
			if strings.Contains(got, "\n") {
				t.Errorf("%q is more than a sentence", got)
			}
		})
	}
}
