package node

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/volume"
)

func goodConfig(t *testing.T) Config {
	return Config{Name: "node-1", Index: 1, IPs: []string{"172.31.0.11"}, PodCIDRs: []string{"10.244.1.0/24"},
		ClusterDNS: "10.96.0.10", Kubeconfig: "/k", Dataplane: "enforce", RootDir: t.TempDir()}
}

func write(t *testing.T, c any) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheConfigurationIsChecked(t *testing.T) {
	if _, err := readConfig(write(t, goodConfig(t))); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*Config){
		"Name": func(c *Config) { c.Name = "" }, "PodCIDRs": func(c *Config) { c.PodCIDRs = nil },
		"absolute": func(c *Config) { c.RootDir = "var" },
	} {
		c := goodConfig(t)
		edit(&c)
		if _, err := readConfig(write(t, c)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := readConfig(write(t, "text")); err == nil {
		t.Error("text was accepted")
	}
}

// The kubelet's own check does not run when its code is used as a library.
func TestTheKubeletAcceptsItsConfiguration(t *testing.T) {
	s, err := kubeletServer(goodConfig(t), []byte("ca"))
	if err != nil {
		t.Fatal(err)
	}
	if err := options.ValidateKubeletServer(s); err != nil {
		t.Error(err)
	}
	if s.Authentication.Anonymous.Enabled || s.ReadOnlyPort != 0 {
		t.Error("the kubelet's server is open to anybody")
	}
	if b, err := os.ReadFile(s.Authentication.X509.ClientCAFile); err != nil || string(b) != "ca" {
		t.Errorf("client authority: %q, %v", b, err)
	}
}

func TestANodeIsRegisteredWithItsPodRange(t *testing.T) {
	client, cfg := fake.NewClientset(), goodConfig(t)
	for range 2 { // a second time is fine
		if err := register(t.Context(), client, cfg); err != nil {
			t.Fatal(err)
		}
	}
	n, err := client.CoreV1().Nodes().Get(t.Context(), "node-1", metav1.GetOptions{})
	if apierrors.IsNotFound(err) || n.Spec.PodCIDR != cfg.PodCIDRs[0] || n.Labels[corev1.LabelHostname] != "node-1" {
		t.Errorf("node %v, %v", n, err)
	}
}

// mounter notes what it is asked to do.
type mounter struct {
	volume.Mounter
	got []volume.MounterArgs
}

func (m *mounter) SetUp(a volume.MounterArgs) error { m.got = append(m.got, a); return nil }

func (m *mounter) SetUpAt(_ string, a volume.MounterArgs) error { return m.SetUp(a) }

func TestVolumesKeepTheirOnlyOwner(t *testing.T) {
	id, m := int64(65532), &mounter{}
	args := volume.MounterArgs{FsUser: &id, FsGroup: &id, DesiredSize: &resource.Quantity{}}
	if err := errors.Join(oneUserMounter{m}.SetUp(args), oneUserMounter{m}.SetUpAt("/", args)); err != nil || len(m.got) != 2 {
		t.Fatalf("%d calls, %v", len(m.got), err)
	}
	for _, a := range m.got {
		if a.FsUser != nil || a.FsGroup != nil || a.DesiredSize == nil {
			t.Errorf("the volume was set up with %+v", a)
		}
	}
	if got := len(volumePlugins()); got != 5 {
		t.Errorf("%d volume plugins", got)
	}
}

func TestAMachineHasRoom(t *testing.T) {
	m := machine{"node-1"}
	info, err := m.MachineInfo(klog.Background())
	if err != nil || info.NumCores != cores || info.MemoryCapacity != memory {
		t.Errorf("%v, %v", info, err)
	}
	if v, err := m.VersionInfo(); err != nil || v.KernelVersion == "" {
		t.Errorf("version %v, %v", v, err)
	}
	if q := (noCgroups{}).GetCapacity(klog.Background(), false)[corev1.ResourceEphemeralStorage]; q.Value() != storage {
		t.Errorf("ephemeral storage %v", q)
	}
}
