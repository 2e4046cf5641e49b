package cri

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// status copies what is known of a container.
func (p *process) status() *runtimeapi.ContainerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := cmp.Or(p.config.GetImage().GetUserSpecifiedImage(), p.image.name)
	return &runtimeapi.ContainerStatus{Id: p.id, Metadata: p.config.GetMetadata(), State: p.state,
		CreatedAt: p.created.UnixNano(), StartedAt: nanos(p.started), FinishedAt: nanos(p.finished),
		ExitCode: p.exitCode, Reason: p.reason, Message: p.message,
		Image:    &runtimeapi.ImageSpec{Image: asked},
		ImageRef: p.image.reference(asked), ImageId: p.image.id(),
		Labels: p.config.GetLabels(), Annotations: p.config.GetAnnotations(), Mounts: p.config.GetMounts(),
		LogPath: p.log.path, StopSignal: p.config.GetStopSignal()}
}

// nanos is 0 for the zero time, as the interface wants it.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// ContainerStatus answers with a NotFound error for a container it does not know.
func (r *Runtime) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	p := r.find(id)
	if p == nil {
		return nil, notFound("container", id)
	}
	return &runtimeapi.ContainerStatusResponse{Status: p.status()}, nil
}

// ListContainers lists in no order. A nil filter matches all.
func (r *Runtime) ListContainers(_ context.Context, f *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	r.mu.Lock()
	all := make([]*process, 0, len(r.containers))
	for _, p := range r.containers {
		all = append(all, p)
	}
	r.mu.Unlock()
	var list []*runtimeapi.Container
	for _, p := range all {
		st := p.status()
		if f.GetId() != "" && f.GetId() != st.Id || f.GetPodSandboxId() != "" && f.GetPodSandboxId() != p.sandbox.id ||
			f.GetState() != nil && f.GetState().GetState() != st.State || !matches(f.GetLabelSelector(), st.Labels) {
			continue
		}
		list = append(list, &runtimeapi.Container{Id: st.Id, PodSandboxId: p.sandbox.id, Metadata: st.Metadata, Image: st.Image,
			ImageRef: st.ImageRef, ImageId: st.ImageId, State: st.State, CreatedAt: st.CreatedAt, Labels: st.Labels, Annotations: st.Annotations})
	}
	return list, nil
}

// byDepth orders mounts so that none hides one inside it.
func byDepth(mounts []*runtimeapi.Mount) []*runtimeapi.Mount {
	return slices.SortedStableFunc(slices.Values(mounts), func(a, b *runtimeapi.Mount) int {
		return strings.Count(a.GetContainerPath(), "/") - strings.Count(b.GetContainerPath(), "/")
	})
}

// resolvConf is the content of a container's /etc/resolv.conf.
func resolvConf(c *runtimeapi.DNSConfig) string {
	var b strings.Builder
	line := func(word string, values ...string) {
		if len(values) > 0 {
			b.WriteString(word + " " + strings.Join(values, " ") + "\n")
		}
	}
	line("search", c.GetSearches()...)
	for _, server := range c.GetServers() {
		line("nameserver", server)
	}
	line("options", c.GetOptions()...)
	return b.String()
}
