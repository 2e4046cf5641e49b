package literal

// outcome is what a policy or a tier comes to for one connection.
type outcome uint8

const (
	none   outcome = iota // nothing in it matches
	accept                // the connection is allowed, finally
	deny                  // it is denied, finally
	pass                  // the next tier decides
)

// outcomes is the set of what something may come to. It has one element where
// nothing is in doubt. Doubts are taken to have nothing to do with each other.
type outcomes uint8

func setOf(all ...outcome) outcomes {
	var s outcomes
	for _, o := range all {
		s |= 1 << o
	}
	return s
}

func (s outcomes) has(o outcome) bool { return s&setOf(o) != 0 }

func (s outcomes) without(o outcome) outcomes { return s &^ setOf(o) }

// then is what may come of it if the next one decides where this one has the
// outcome over.
func (s outcomes) then(over outcome, next outcomes) outcomes {
	if s.has(over) {
		return s.without(over) | next
	}
	return s
}
