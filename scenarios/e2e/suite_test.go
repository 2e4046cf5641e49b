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
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/framework"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// testenv is the environment of the suite; its cluster is a lab of our own.
var testenv env.Environment

func TestMain(m *testing.M) {
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		fmt.Println("skipped: TIGHTROPE_SKIP_LAB is set, so no scenario is played on the lab")
		os.Exit(m.Run())
	}
	if len(os.Args) > 1 && os.Args[1] == callerWord {
		fmt.Fprintln(os.Stderr, caller(os.Args[2:]))
		os.Exit(1)
	}
	name := labName("enforce")
	testenv = env.NewWithConfig(envconf.New())
	testenv.Setup(func(ctx context.Context, cfg *envconf.Config) (context.Context, error) {
		o, err := labOptions("enforce")
		if err == nil {
			ctx, err = envfuncs.CreateCluster(framework.Lab(o), name)(ctx, cfg)
		}
		if err != nil {
			return ctx, fmt.Errorf("%w; to run the other tests without the lab, set TIGHTROPE_SKIP_LAB=1", err)
		}
		return ctx, nil
	})
	testenv.Finish(envfuncs.DestroyCluster(name))
	os.Exit(testenv.Run(m))
}

func TestScenarios(t *testing.T) {
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		t.Skip("TIGHTROPE_SKIP_LAB is set, so no scenario is played on the lab")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "scenarios on the lab")
}

func labName(dataplane string) string { return fmt.Sprintf("e2e-%s-%d", dataplane, os.Getpid()) }

// labOptions are those of a lab with the binaries that `make build` made.
func labOptions(dataplane string) (lab.Options, error) {
	bin := os.Getenv(lab.BinEnv)
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return lab.Options{}, err
	}
	images := map[string]string{}
	for _, name := range []string{"agent", "controller", "twin", "standin"} {
		images["tightrope.dev/"+name] = filepath.Join(bin, name)
	}
	if os.Getenv("TIGHTROPE_BENCH") != "" {
		if images[callerImage], err = os.Executable(); err != nil {
			return lab.Options{}, err
		}
	}
	return lab.Options{Name: labName(dataplane), Nodes: 2, Dataplane: dataplane, Labd: filepath.Join(bin, "labd"), Images: images}, nil
}

// startLab brings up another lab.
func startLab(ctx context.Context, dataplane string) (*lab.Lab, error) {
	o, err := labOptions(dataplane)
	if err != nil {
		return nil, err
	}
	return lab.Up(ctx, o)
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
	foreseen, first := planned{}, true // before the run; and while it is that of the first wave
	return scenarios.Run(ctx, s, scenarios.Options{
		Config: cfg, Cluster: "lab", HoldTimeout: hold, Deploy: deploy.Options{DropsPort: lab.CounterPort, SingleTenant: true},
		Progress: func(p scenarios.Progress) {
			if p.Step == "rollout" {
				foreseen = livePlan(ctx, kubeconfig, name)
			}
			if first && p.Status != nil && p.Status.Phase != "" && p.Status.Phase != v1alpha1.PhasePending && p.Status.Phase != v1alpha1.PhasePreflight {
				refused := p.Status.Phase == v1alpha1.PhaseRefused
				Expect(foreseen.Controller == "refuse").To(Equal(refused), "the controller is in phase %s with %s, and tightrope plan --live of %s said that it would %s: %q",
					p.Status.Phase, p.Status.Message, name, foreseen.Controller, foreseen.Refusals)
			}
			if first && p.Status != nil && p.Status.PlanDigest != "" {
				first = p.Status.Phase != v1alpha1.PhaseCommitted // the next wave is planned on what this one committed
				Expect(p.Status.PlanDigest).To(Equal(foreseen.Digest), "the controller's plan of %s is another than that of tightrope plan --live", name)
			}
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
