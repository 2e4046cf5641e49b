package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/steer"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

func newRolloutCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rollout",
		Short: "Roll policies out on a cluster, follow it, and take it back",
		Long: "Rollout works on PolicyRollouts of a cluster that has Tightrope installed (tightrope install). The\n" +
			"controller does the work: whoever stops a command stops nothing in the cluster. NAME is that of a rollout,\n" +
			"which stands for its current run, or of a run. Everything here is done by kubectl as well.",
	}
	c.AddCommand(newRolloutApplyCommand(), newRolloutListCommand(), newRolloutStatusCommand(), newRolloutWatchCommand(),
		newRolloutApproveCommand(), newRolloutPauseCommand(), newRolloutResumeCommand(), newRolloutAbortCommand(), newRolloutRetryCommand(), newRolloutReportCommand(), newRolloutDigestCommand())
	return c
}

// target says on which cluster and in which namespace a command works.
type target struct {
	namespace, context, kubeconfig string

	cluster string // as the kubeconfig calls it; known once it is connected
}

func (t *target) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&t.namespace, "namespace", "n", "", "namespace of the rollout; empty means that of the kubeconfig's context")
	f.StringVar(&t.kubeconfig, "kubeconfig", "", "cluster to work on; empty means $KUBECONFIG, then the user's own")
	f.StringVar(&t.context, "context", "", "context of the kubeconfig; empty means its current one")
}

// place is the namespace that the flags or the kubeconfig name.
func (t *target) place() (string, error) {
	if t.namespace != "" {
		return t.namespace, nil
	}
	return existing.Namespace(t.kubeconfig, t.context)
}

// connect reaches the cluster.
func (t *target) connect(ctx context.Context) (*steer.Steerer, error) {
	cfg, name, err := existing.ConnectAs(ctx, t.kubeconfig, t.context)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	t.cluster = name
	return steer.New(cfg)
}

// find reaches the cluster and looks a name up in it.
func (t *target) find(ctx context.Context, name string) (*steer.Steerer, steer.Found, error) {
	namespace, err := t.place()
	if err != nil {
		return nil, steer.Found{}, &exitError{exitUsage, err}
	}
	s, err := t.connect(ctx)
	if err != nil {
		return nil, steer.Found{}, err
	}
	f, err := s.Find(ctx, client.ObjectKey{Namespace: namespace, Name: name})
	return s, f, err
}

// run is find for what only a run can do.
func (t *target) run(ctx context.Context, name string) (*steer.Steerer, steer.Found, error) {
	s, f, err := t.find(ctx, name)
	if err == nil && f.Run == nil {
		err = &exitError{exitUsage, fmt.Errorf("rollout %s/%s has no run (%s): %s", f.Rollout.Namespace, f.Rollout.Name,
			cmp.Or(f.Rollout.Status.Phase, v1alpha1.PhasePending), cmp.Or(f.Rollout.Status.Message, "no controller has taken it up yet"))}
	}
	return s, f, err
}

// command is the command line that does something else to the same rollout.
func (t *target) command(verb string, run *v1alpha1.PolicyRolloutRun) string {
	line := fmt.Sprintf("tightrope rollout %s %s -n %s", verb, run.Spec.RolloutRef.Name, run.Namespace)
	for _, f := range [][2]string{{"--kubeconfig", t.kubeconfig}, {"--context", t.context}} {
		if f[1] != "" {
			line += " " + f[0] + " " + quoted(f[1])
		}
	}
	return line
}

// steerError gives an error of the cluster the exit code that it deserves.
func steerError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exitError](err); ok {
		return err
	}
	_, input := errors.AsType[*manifest.Error](err)
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, err}
	case input, errors.Is(err, steer.ErrRefused), errors.Is(err, steer.ErrForbidden), errors.Is(err, steer.ErrNotFound), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsConflict(err):
		return &exitError{exitUsage, err}
	}
	return &exitError{exitInconclusive, err}
}

// one is the check that a command has one name.
func one(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give the name of one rollout, or of one run; %d were given", len(args))
	}
	return nil
}

// formats of objects, as kubectl has them.
var formats = []string{"", "wide", "json", "yaml"}

// writeObject writes an object as kubectl does, without what only servers read.
func writeObject(w io.Writer, format string, o runtime.Object) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	withoutManagedFields(object)
	if format == "json" {
		return writeJSON(w, object)
	}
	raw, err = yaml.Marshal(object)
	if err == nil {
		_, err = w.Write(raw)
	}
	return err
}

func withoutManagedFields(object map[string]any) {
	if metadata, ok := object["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
	}
	if items, ok := object["items"].([]any); ok {
		for _, item := range items {
			if o, ok := item.(map[string]any); ok {
				withoutManagedFields(o)
			}
		}
	}
}

// within bounds a context, where there is a bound.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %v (--timeout)", timeout))
}

// say prints a line from a cluster.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, report.Sanitize(fmt.Sprintf(format, args...)))
}
