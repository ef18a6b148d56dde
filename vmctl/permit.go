package vmctl

// Permit is the gate's leave to start one VM under one generation, now. Its
// fields can be set by this package alone, and only the gate does: the zero
// Permit permits nothing.
type Permit struct {
	vm         string
	generation uint64
}

// VM is the VM that may be started.
func (p Permit) VM() string { return p.vm }

// Generation is that of the ownership under which it may be.
func (p Permit) Generation() uint64 { return p.generation }

// Check refuses a permit that the gate did not make.
func (p Permit) Check() error {
	if p.vm == "" || p.generation == 0 {
		return ErrNoPermit
	}
	return nil
}
