package verdict

import (
	"sync"
	"sync/atomic"
)

// Engine keeps a world compiled while it changes. Writers take turns; readers
// take a Snapshot and use it without locks for as long as they like.
type Engine struct {
	mu       sync.Mutex // held by writers
	compiler *compiler
	now      atomic.Pointer[Snapshot]
}

// New compiles the world and its pods. Nothing in them may be changed
// afterwards. Of pods and policies with one key, the last one counts.
func New(w World, pods []Pod) *Engine {
	e := &Engine{compiler: newCompiler()}
	e.Apply(func(c *Changes) {
		for name, labels := range w.Namespaces {
			c.SetNamespace(name, labels)
		}
		for i := range pods {
			c.SetPod(pods[i])
		}
		for i := range w.Policies {
			c.SetPolicy(w.Policies[i])
		}
		c.SetForeign(w.Foreign)
		c.SetNodes(w.Nodes)
		for _, p := range w.ClusterPolicies {
			c.SetClusterPolicy(p)
		}
	})
	return e
}

// Compile is New for a world that will not change.
func Compile(w World, pods []Pod) *Snapshot { return New(w, pods).Snapshot() }

// Snapshot returns the newest state.
func (e *Engine) Snapshot() *Snapshot { return e.now.Load() }

// Apply makes all the changes of the function in one step: no Snapshot shows
// some of them. The function must not use the engine.
func (e *Engine) Apply(changes func(*Changes)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.compiler.begin(e.now.Load())
	changes(&Changes{e.compiler})
	e.now.Store(e.compiler.finish())
}

// SetPod adds the pod, or replaces the one of that key.
func (e *Engine) SetPod(p Pod) { e.Apply(func(c *Changes) { c.SetPod(p) }) }

// DeletePod removes the pod of that key (namespace/name), if there is one.
func (e *Engine) DeletePod(key string) { e.Apply(func(c *Changes) { c.DeletePod(key) }) }

// SetPolicy adds the policy, or replaces the one of that key.
func (e *Engine) SetPolicy(p Policy) { e.Apply(func(c *Changes) { c.SetPolicy(p) }) }

// DeletePolicy removes the policy of that key (namespace/name), if there is one.
func (e *Engine) DeletePolicy(key string) { e.Apply(func(c *Changes) { c.DeletePolicy(key) }) }

// SetNamespace sets the labels of a namespace; nil means that it has none.
func (e *Engine) SetNamespace(name string, labels map[string]string) {
	e.Apply(func(c *Changes) { c.SetNamespace(name, labels) })
}

// DeleteNamespace makes the labels of the namespace unknown. Pods and policies
// in it stay until they are deleted.
func (e *Engine) DeleteNamespace(name string) { e.Apply(func(c *Changes) { c.DeleteNamespace(name) }) }

// SetClusterPolicy adds the policy, or replaces the one of that name.
func (e *Engine) SetClusterPolicy(p ClusterPolicy) {
	e.Apply(func(c *Changes) { c.SetClusterPolicy(p) })
}

// DeleteClusterPolicy removes the policy of that name, if there is one.
func (e *Engine) DeleteClusterPolicy(name string) {
	e.Apply(func(c *Changes) { c.DeleteClusterPolicy(name) })
}

// SetForeign replaces the whole list of policies that are not understood.
func (e *Engine) SetForeign(all []Foreign) { e.Apply(func(c *Changes) { c.SetForeign(all) }) }

// SetNodes replaces the whole list of nodes.
func (e *Engine) SetNodes(all []Node) { e.Apply(func(c *Changes) { c.SetNodes(all) }) }
