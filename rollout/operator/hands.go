package operator

import (
	"context"
	"io"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// hands are what a run acts with: a writer, and the logs of its probe pods.
//
// What a run puts up or tightens is written as the account that its rollout names, so
// that nobody gets through us what that account may not do. What takes a change back
// is written as ourselves: an account that has lost its rights, or is gone, must keep
// no rollback from happening. So is everything in Tightrope's own namespace. Objects
// are read as ourselves, and logs as the account: to read the log of any pod of the
// cluster is no right of ours.
type hands struct {
	write *writer.Writer
	logs  pods.LogReader
}

func (r *RunReconciler) ours() hands { return hands{r.Write, r.Logs} }

// restoring is the link for what takes a change back. Nothing else is sent over it, so
// that a rollback queues behind nothing: no watch, no log, no forward write, no status.
func (r *RunReconciler) restoring() writer.Link { return r.or(r.Restoring) }

// deciding is the link for reading a run and for recording what was decided, which
// comes before it is acted upon.
func (r *RunReconciler) deciding() writer.Link { return r.or(r.Deciding) }

func (r *RunReconciler) or(own writer.Link) writer.Link {
	if own == (writer.Link{}) {
		return writer.Link{Read: r.Live, Write: r.Write}
	}
	return own
}

// handsOf are those of the plan's account.
func (r *RunReconciler) handsOf(p *Plan) (hands, error) {
	if p.Account == (types.NamespacedName{}) {
		return r.ours(), nil
	}
	if p.hands == nil {
		write, logs, err := r.As(p.Account)
		if err != nil {
			return hands{}, err
		}
		p.hands = &hands{write, logs}
	}
	return *p.hands, nil
}

// handsIn are those with which probe pods are made in a namespace.
func (r *RunReconciler) handsIn(p *Plan, namespace string) (hands, error) {
	if namespace == v1alpha1.SystemNamespace {
		return r.ours(), nil
	}
	return r.handsOf(p)
}

// forward writes what a run puts up or tightens.
func (r *RunReconciler) forward(p *Plan) (*writer.Writer, error) {
	h, err := r.handsOf(p)
	return h.write, err
}

// logsOf reads the logs of all probe pods of a plan.
func (r *RunReconciler) logsOf(p *Plan) (pods.LogReader, error) {
	h, err := r.handsOf(p)
	return bothLogs{own: r.Logs, account: h.logs}, err
}

// bothLogs reads the logs of pods in Tightrope's own namespace as ourselves.
type bothLogs struct{ own, account pods.LogReader }

// Follow implements pods.LogReader.
func (l bothLogs) Follow(ctx context.Context, pod types.NamespacedName) (io.ReadCloser, error) {
	if pod.Namespace == v1alpha1.SystemNamespace {
		return l.own.Follow(ctx, pod)
	}
	return l.account.Follow(ctx, pod)
}
