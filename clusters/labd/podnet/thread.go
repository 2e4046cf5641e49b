package podnet

// OnOwnThread runs f in the background, on a thread that nobody else uses and that
// ends with f: what f does to its thread (namespaces, root, directory) ends too.
func OnOwnThread(f func()) { go onOwnThread(f) }
