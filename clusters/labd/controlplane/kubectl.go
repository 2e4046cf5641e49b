package controlplane

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

// Kubectl is `labd kubectl ARGS…`: the real kubectl, for machines without one.
func Kubectl(args []string) int {
	os.Args = append([]string{"kubectl"}, args...)       // plugins and .kuberc are found by it
	_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args)) // before the command reads its configuration
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints in kubectl's way and exits
	}
	return 0
}
