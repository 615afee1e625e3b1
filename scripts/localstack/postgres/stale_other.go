//go:build !linux

package postgres

// removeStalePID does nothing here: there is no cheap way to see what program
// a process number belongs to.
func (s *Server) removeStalePID() error { return nil }
