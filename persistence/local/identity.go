package local

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
)

// Identity tells a node from others.
type Identity struct {
	// Machine is the hardware's id, or one made up at the first start where the
	// hardware has none.
	Machine string
	// Fingerprint is the SHA-256, in hex, of the public part of the node's
	// ed25519 key (its 32 bytes).
	Fingerprint string
}

// Identity is this node's.
func (m *Memory) Identity() Identity {
	s := m.now.Load()
	id := Identity{Machine: m.host.Machine, Fingerprint: s.Fingerprint}
	if id.Machine == "" {
		id.Machine = s.Machine
	}
	return id
}

// Key is this node's private key.
func (m *Memory) Key() ed25519.PrivateKey { return m.key }

// identify loads the key, or makes one at the first start. The order of writes
// lets a first start that was cut short be gone through again, and a key or a
// memory that went missing later be noticed.
func (m *Memory) identify() error {
	if err := m.set(func(s *state) {
		if s.Machine == "" && m.host.Machine == "" {
			s.Machine = "made-" + rand.Text()
		}
	}); err != nil {
		return err
	}
	known := m.now.Load().Fingerprint
	key, err := m.readKey()
	if known == "" && errors.Is(err, fs.ErrNotExist) {
		key, err = m.makeKey()
	}
	if err != nil {
		return fmt.Errorf("local memory: %s: %w", keyFile, err)
	}
	own := fingerprint(key)
	if known != "" && known != own {
		return fmt.Errorf("local memory: %s: it is another key than the one that %s knows", keyFile, memoryFile)
	}
	m.key = key
	return m.set(func(s *state) { s.Fingerprint = own })
}

func (m *Memory) readKey() (ed25519.PrivateKey, error) {
	data, err := m.backend.Read(keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T instead of an ed25519 key", parsed)
	}
	return key, nil
}

func (m *Memory) makeKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, m.backend.Write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func fingerprint(key ed25519.PrivateKey) string {
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:])
}

// usable drops ids that makers leave unset: they would be the same on many
// machines.
func usable(id string) string {
	for _, unset := range []string{
		"", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"03000200-0400-0500-0006-000700080009", "uninitialized",
	} {
		if id == unset {
			return ""
		}
	}
	return id
}
