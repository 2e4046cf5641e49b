package pods

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/probes"
)

// reconnectAfter is how long to wait before following a log again.
const reconnectAfter = 200 * time.Millisecond

// LogReader follows the log of a pod, from shortly before its end, until it ends
// or ctx does.
type LogReader interface {
	Follow(ctx context.Context, pod types.NamespacedName) (io.ReadCloser, error)
}

// Logs reads logs through the API server and the kubelet, so that the policy
// under test cannot blind us.
type Logs struct{ Client kubernetes.Interface }

// Follow implements LogReader.
func (l Logs) Follow(ctx context.Context, pod types.NamespacedName) (io.ReadCloser, error) {
	return l.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Follow: true, TailLines: ptr.To[int64](8),
	}).Stream(ctx)
}

// Follower reads the lines of one probe pod through the API server until it is
// closed. What it cannot read is silence, never an error.
type Follower struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// Follow starts a follower; each line goes to hear with the time it came in.
func Follow(ctx context.Context, logs LogReader, pod types.NamespacedName, hear func(probes.Line, time.Time)) *Follower {
	ctx, stop := context.WithCancel(ctx)
	f := &Follower{stop: stop}
	f.done.Go(func() {
		for ctx.Err() == nil {
			if stream, err := logs.Follow(ctx, pod); err == nil {
				readLines(stream, hear)
				stream.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(reconnectAfter):
			}
		}
	})
	return f
}

// Close stops the follower and waits for it.
func (f *Follower) Close() {
	f.stop()
	f.done.Wait()
}

func readLines(stream io.Reader, hear func(probes.Line, time.Time)) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 4096), probes.MaxLine)
	for lines.Scan() {
		if line, err := probes.ParseLine(lines.Bytes()); err == nil {
			hear(line, time.Now())
		}
	}
}
