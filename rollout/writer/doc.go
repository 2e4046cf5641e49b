// Package writer writes. It is the only code that changes objects of a cluster:
// every write carries our field manager, and a write to an object that is there
// carries the UID, and where the object may have been edited the resourceVersion,
// that were read. So no write takes over what somebody else made meanwhile, and
// a change that was not seen is a conflict, never lost.
//
//	who decides ──► Writer ──► the API server, as ourselves or as a service account
package writer
