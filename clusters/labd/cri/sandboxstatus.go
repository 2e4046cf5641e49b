package cri

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// notFound is the answer that the kubelet understands as "gone already".
func notFound(kind, id string) error {
	return status.Errorf(codes.NotFound, "%s %q is not known to the lab's runtime", kind, id)
}

func (s *sandbox) state() runtimeapi.PodSandboxState {
	if s.ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

// status needs Runtime.mu.
func (s *sandbox) status() *runtimeapi.PodSandboxStatus {
	st := &runtimeapi.PodSandboxStatus{Id: s.id, Metadata: s.config.GetMetadata(), State: s.state(),
		CreatedAt: s.created.UnixNano(), Labels: s.config.GetLabels(), Annotations: s.config.GetAnnotations(),
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions()}}}
	if s.ready && !s.onNode() {
		st.Network = &runtimeapi.PodSandboxNetworkStatus{Ip: s.addrs[0].String()}
		for _, a := range s.addrs[1:] {
			st.Network.AdditionalIps = append(st.Network.AdditionalIps, &runtimeapi.PodIP{Ip: a.String()})
		}
	}
	return st
}

// PodSandboxStatus answers with a NotFound error for a pod it does not know.
func (r *Runtime) PodSandboxStatus(_ context.Context, id string, _ bool) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[id]
	if s == nil {
		return nil, notFound("pod sandbox", id)
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: s.status()}, nil
}

// ListPodSandbox lists in no order. A nil filter matches all.
func (r *Runtime) ListPodSandbox(_ context.Context, f *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*runtimeapi.PodSandbox
	for _, s := range r.sandboxes {
		if f.GetId() != "" && f.GetId() != s.id || f.GetState() != nil && f.GetState().GetState() != s.state() ||
			!matches(f.GetLabelSelector(), s.config.GetLabels()) {
			continue
		}
		list = append(list, &runtimeapi.PodSandbox{Id: s.id, Metadata: s.config.GetMetadata(), State: s.state(),
			CreatedAt: s.created.UnixNano(), Labels: s.config.GetLabels(), Annotations: s.config.GetAnnotations()})
	}
	return list, nil
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}
