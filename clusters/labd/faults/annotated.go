package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Annotation on a Node holds a fault of that node as long as it is there: kill,
// pause, partition (from all other nodes) or partition=NAME,… (from these).
const Annotation = "lab.tightrope.dev/fault"

// ofNode is the fault that an annotation's text asks for.
func ofNode(node, text string) (Spec, error) {
	switch kind, from, some := strings.Cut(text, "="); {
	case !some && (Kind(kind) == Kill || Kind(kind) == Pause):
		return Spec{Kind: Kind(kind), Targets: []string{node}}, nil
	case Kind(kind) == Partition && some:
		return Spec{Kind: Partition, Groups: [][]string{{node}, strings.Split(from, ",")}}, nil
	case Kind(kind) == Partition:
		return Spec{Kind: Partition, Groups: [][]string{{node}}}, nil
	}
	return Spec{}, fmt.Errorf("%w: annotation %s=%.100q: want kill, pause, partition, or partition=NAME,…", ErrRefused, Annotation, text)
}

// FollowAnnotations holds what Nodes are annotated with, until ctx ends.
func (k *Keeper) FollowAnnotations(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(k.machine.Client(), 0)
	defer factory.Shutdown()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	texts := map[string]chan string{}
	for _, node := range k.machine.Nodes() {
		texts[node] = make(chan string)
		wg.Go(func() { k.follow(ctx, node, texts[node]) })
	}
	tell := func(object any, text string) {
		n, ok := object.(*corev1.Node)
		if !ok || texts[n.Name] == nil {
			return
		}
		select {
		case texts[n.Name] <- text:
		case <-ctx.Done():
		}
	}
	seen := func(object any) {
		if n, ok := object.(*corev1.Node); ok {
			tell(object, n.Annotations[Annotation])
		}
	}
	_, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, is any) { seen(is) }, DeleteFunc: func(gone any) { tell(gone, "") }})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	return nil
}

// follow holds one node's fault. Another text ends it before the next begins.
func (k *Keeper) follow(ctx context.Context, node string, texts <-chan string) {
	before, end := "", func() {}
	defer func() { end() }()
	for {
		var text string
		select {
		case <-ctx.Done():
			return
		case text = <-texts:
		}
		if text == before {
			continue
		}
		end()
		before, end = text, func() {}
		if text == "" {
			continue
		}
		inner, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		end = func() { stop(); <-done }
		go func() {
			defer close(done)
			s, err := ofNode(node, text)
			if err == nil {
				err = k.Hold(inner, s, func(Held) {})
			}
			if err != nil {
				k.complain(node, err)
			}
		}()
	}
}

// complain writes an event on the Node; without an API server nobody is told.
func (k *Keeper) complain(node string, why error) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	now := metav1.Now()
	_, _ = k.machine.Client().CoreV1().Events(metav1.NamespaceDefault).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: node + ".", Namespace: metav1.NamespaceDefault},
		InvolvedObject: corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: types.UID(node)},
		Type:           corev1.EventTypeWarning, Reason: "FaultNotHeld", Message: fmt.Sprintf("%.512s", why),
		Source: corev1.EventSource{Component: "tightrope-lab"}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}, metav1.CreateOptions{})
}
