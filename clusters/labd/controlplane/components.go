package controlplane

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // request metrics of client-go
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// APIServer is `labd apiserver FAMILIES`. It returns the process's exit code.
func APIServer(args []string) int {
	f, err := layout.ParseFamilies(strings.Join(args, ""))
	if err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		return 1
	}
	return run(newAPIServerCommand(), apiServerFlags(f))
}

// ControllerManager is `labd controller-manager`.
func ControllerManager() int {
	return run(controllers.NewControllerManagerCommand(), controllerFlags())
}

// Scheduler is `labd scheduler`.
func Scheduler() int { return run(scheduler.NewSchedulerCommand(), schedulerFlags()) }

func run(c *cobra.Command, flags []string) int {
	c.SetArgs(flags)
	return cli.Run(c)
}

func apiServerFlags(f layout.Families) []string {
	return []string{
		"--advertise-address=" + f.Addresses()[0], "--bind-address=" + f.Addresses()[0], "--secure-port=6443",
		"--etcd-servers=unix://" + etcdSocket,
		"--etcd-compaction-interval=0", // etcd compacts by itself
		"--service-cluster-ip-range=" + f.ServiceCIDR(),
		"--client-ca-file=" + pkiFile("ca.crt"),
		"--tls-cert-file=" + pkiFile("apiserver.crt"), "--tls-private-key-file=" + pkiFile("apiserver.key"),
		"--kubelet-client-certificate=" + pkiFile("kubelet-client.crt"),
		"--kubelet-client-key=" + pkiFile("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc." + ClusterDomain,
		"--service-account-key-file=" + pkiFile("sa.pub"), "--service-account-signing-key-file=" + pkiFile("sa.key"),
		"--requestheader-client-ca-file=" + pkiFile("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pkiFile("front-proxy-client.crt"),
		"--proxy-client-key-file=" + pkiFile("front-proxy-client.key"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--event-ttl=1h",
		"--profiling=false",
		"--shutdown-delay-duration=0s",
		"--v=0",
	}
}

func controllerFlags() []string {
	return []string{
		"--kubeconfig=" + KubeconfigPath("controller-manager"),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + pkiFile("sa.key"),
		"--root-ca-file=" + pkiFile("ca.crt"),
		"--allocate-node-cidrs=false", // a node's pod network follows from its number
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--v=0",
	}
}

func schedulerFlags() []string {
	return []string{
		"--kubeconfig=" + KubeconfigPath("scheduler"),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--v=0",
	}
}
