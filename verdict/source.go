package verdict

// World returns what the snapshot was compiled from. It must not be changed.
func (s *Snapshot) World() World { return s.world }
