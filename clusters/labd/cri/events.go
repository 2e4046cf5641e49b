package cri

import (
	"context"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// GetContainerEvents sends to ch until ctx ends. There is one listener, the
// kubelet; a second one takes over.
func (r *Runtime) GetContainerEvents(ctx context.Context, ch chan *runtimeapi.ContainerEventResponse, connected func(runtimeapi.RuntimeService_GetContainerEventsClient)) error {
	r.mu.Lock()
	r.events = ch
	r.mu.Unlock()
	if connected != nil {
		connected(nil)
	}
	<-ctx.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == ch {
		r.events = nil
	}
	return ctx.Err()
}

// announce tells the kubelet to look at a pod now rather than within its second.
// The kubelet takes every event as such a hint, but only those of type "stopped":
// starts are sent as that too, and the look that follows finds the truth.
func (r *Runtime) announce(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		return
	}
	event := &runtimeapi.ContainerEventResponse{ContainerId: p.id, CreatedAt: time.Now().UnixNano(),
		ContainerEventType: runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT, PodSandboxStatus: p.sandbox.status()}
	select {
	case r.events <- event:
	default: // the kubelet is behind; its periodic look finds out
	}
}
