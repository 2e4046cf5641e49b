// Package class groups pods that policies judge alike, so that an analysis of
// all pairs of pods costs as much as there are kinds of pods and not as much as
// there are pods. Two pods are of one class if no policy of the worlds given
// can tell them apart: not by namespace, labels that selectors mention, values
// that selectors list, declared ports, addresses inside ipBlocks, or host
// network. Whether two pods share a node matters only to host-network pods; it
// is kept apart, as a relation of pairs.
package class
