// Package e2e plays the scenario library on the lab: real API server, real
// packets, the controller as a Deployment.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// testenv is the environment of the suite; its cluster is a lab of our own.
var testenv env.Environment

type labKey struct{}

func TestMain(m *testing.M) {
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		fmt.Println("skipped: TIGHTROPE_SKIP_LAB is set, so no scenario is played on the lab")
		os.Exit(m.Run())
	}
	testenv = env.NewWithConfig(envconf.New())
	testenv.Setup(func(ctx context.Context, cfg *envconf.Config) (context.Context, error) {
		l, err := startLab(ctx, "enforce")
		if err != nil {
			return ctx, fmt.Errorf("%w; to run the other tests without the lab, set TIGHTROPE_SKIP_LAB=1", err)
		}
		cfg.WithKubeconfigFile(l.Kubeconfig())
		return context.WithValue(ctx, labKey{}, l), nil
	})
	testenv.Finish(func(ctx context.Context, _ *envconf.Config) (context.Context, error) {
		if l, ok := ctx.Value(labKey{}).(*lab.Lab); ok {
			return ctx, l.Down(ctx)
		}
		return ctx, nil
	})
	os.Exit(testenv.Run(m))
}

func TestScenarios(t *testing.T) {
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		t.Skip("TIGHTROPE_SKIP_LAB is set, so no scenario is played on the lab")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "scenarios on the lab")
}

// startLab brings up a lab with the binaries that `make build` made.
func startLab(ctx context.Context, dataplane string) (*lab.Lab, error) {
	bin := os.Getenv("TIGHTROPE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	labd := filepath.Join(bin, "labd")
	images := map[string]string{}
	for _, name := range []string{"agent", "controller", "twin", "standin"} {
		images["tightrope.dev/"+name] = filepath.Join(bin, name)
	}
	return lab.Up(ctx, lab.Options{
		Name: fmt.Sprintf("e2e-%s-%d", dataplane, os.Getpid()), Nodes: 2, Dataplane: dataplane,
		Labd: labd, Images: images,
	})
}

// play runs a scenario and returns its report; seen hears of progress.
func play(ctx context.Context, kubeconfig, name string, seen func(scenarios.Progress)) (*report.Report, error) {
	return playFor(ctx, kubeconfig, name, 10*time.Second, seen)
}

// playFor is play with a time for which a held run is waited for.
func playFor(ctx context.Context, kubeconfig, name string, hold time.Duration, seen func(scenarios.Progress)) (*report.Report, error) {
	s, err := scenarios.Load(name)
	Expect(err).NotTo(HaveOccurred())
	cfg, err := restConfig(kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	return scenarios.Run(ctx, s, scenarios.Options{
		Config: cfg, Cluster: "lab", HoldTimeout: hold, Deploy: deploy.Options{DropsPort: lab.CounterPort},
		Progress: func(p scenarios.Progress) {
			if p.Status != nil {
				GinkgoWriter.Printf("%s %s %s %s\n", name, p.Status.Phase, p.Status.Stage, p.Status.Message)
			}
			if seen != nil {
				seen(p)
			}
		},
	})
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err == nil {
		cfg.QPS = -1
	}
	return cfg, err
}
