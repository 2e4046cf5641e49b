package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// streams is the server behind exec, attach and port-forward: upstream's own. The
// kubelet asks for an address, which holds a secret and works once, and relays the
// client's connection to it.
type streams struct {
	streaming.Server
	http *http.Server
	done chan struct{}
}

// serveStreams listens on the node's loopback address.
func serveStreams(r *Runtime) (*streams, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("streaming server: %w", err)
	}
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "http", Host: listener.Addr().String()}
	server, err := streaming.NewServer(config, clients{r})
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("streaming server: %w", err)
	}
	s := &streams{Server: server, done: make(chan struct{}),
		http: &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("exec, attach and port-forward do not work any more", "error", err)
		}
	}()
	return s, nil
}

func (s *streams) close() {
	s.http.Close()
	<-s.done
}

// clients serves the connections of the streaming server.
type clients struct{ r *Runtime }

func (c clients) Exec(ctx context.Context, id string, argv []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return c.r.exec(ctx, id, command{argv: argv, stdin: in, stdout: out, stderr: errOut, tty: tty, resize: resize})
}

func (c clients) Attach(ctx context.Context, id string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	return c.r.attach(ctx, id, attachment{stdin: in, stdout: out, stderr: errOut, resize: resize})
}

func (c clients) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	return c.r.forward(ctx, id, port, stream)
}

// Exec answers with the address that runs the command.
func (r *Runtime) Exec(_ context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if r.find(req.GetContainerId()) == nil {
		return nil, notFound("container", req.GetContainerId())
	}
	return r.streams.GetExec(req)
}

// Attach answers with the address that attaches.
func (r *Runtime) Attach(_ context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if r.find(req.GetContainerId()) == nil {
		return nil, notFound("container", req.GetContainerId())
	}
	return r.streams.GetAttach(req)
}

// PortForward answers with the address that forwards.
func (r *Runtime) PortForward(_ context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	if r.findSandbox(req.GetPodSandboxId()) == nil {
		return nil, notFound("pod sandbox", req.GetPodSandboxId())
	}
	return r.streams.GetPortForward(req)
}
