package node

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clients are the node's connections. Neither is throttled: the API server's own
// fairness is enough for a lab, and pods start faster.
type clients struct {
	api       *kubernetes.Clientset
	heartbeat *kubernetes.Clientset
	ca        []byte // of the API server, PEM; it signs clients of the kubelet too
}

func connect(kubeconfig string) (clients, error) {
	var c clients
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return c, fmt.Errorf("node credentials: %w", err)
	}
	cfg.QPS = -1
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	cfg.UserAgent = "tightrope-lab-node"
	if c.api, err = kubernetes.NewForConfig(cfg); err != nil {
		return c, fmt.Errorf("node client: %w", err)
	}
	beat := rest.CopyConfig(cfg)
	beat.Timeout = 10 * time.Second
	if c.heartbeat, err = kubernetes.NewForConfig(beat); err != nil {
		return c, fmt.Errorf("node heartbeat client: %w", err)
	}
	if err := rest.LoadTLSFiles(cfg); err != nil {
		return c, fmt.Errorf("node credentials: %w", err)
	}
	c.ca = cfg.CAData
	return c, nil
}
