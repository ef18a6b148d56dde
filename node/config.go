package node

import (
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// Modes of taking part (AMP's words).
const (
	ModeAuto       = "auto"
	ModeMaster     = "master"      // refuses to start beside a live master
	ModeStandby    = "standby"     // refuses to start without one
	ModeHotStandby = "hot-standby" // the same
	ModeHotBackup  = "hot-backup"  // follows and never claims
	ModeDisabled   = "disabled"    // follows, never claims, runs no VMs
)

// Ways of being promoted.
const (
	PromotionAutomatic = "automatic"
	PromotionManual    = "manual" // only an operator's request promotes
)

// Clock is how a node tells the time.
type Clock struct {
	Now  func() time.Duration // boot-time clock: all durations
	Wall func() time.Time     // for people
}

// Config is what a node is made of.
type Config struct {
	Name     string
	Role     string // ledger.RoleCandidate, RoleWorker or RoleWitness
	Priority int
	Store    persistence.Store
	StoreURL string
	Memory   *local.Memory
	Driver   vmctl.Driver   // nil: this host runs no VMs
	Provider vmctl.Provider // nil: its VMs have no snapshots
	Guard    *Guard         // nil: no watchdog
	// WhyUnproved says why no watchdog here could prove anything, for people; "" where
	// there is one, or none is needed.
	WhyUnproved string
	// ProofRequired: nothing starts here unless the node's silence proves that all has
	// stopped.
	ProofRequired bool
	// Timings found a cluster; TimingsGiven says that the operator set them, so
	// that a cluster with others is refused.
	Timings      lease.Timings
	TimingsGiven bool
	Mode         string
	Promotion    string
	OnStop       string // record.LeaveFreeze, LeaveMove or LeaveStop
	// GoingDown says whether this host is being shut down, and nothing could run on: then
	// VMs are moved rather than left. nil: it never is.
	GoingDown func() bool
	Join      bool // there must be a cluster
	Debug     bool
	Report    ReportFile    // nil: what it records is kept nowhere
	Expect    int           // nodes that end the start-up grace; 0 is none
	Grace     time.Duration // start-up grace
	URL       string        // where people reach this node
	Version   string
	Boot      string // boot id
	Log       zerolog.Logger
	Clock     Clock
}

// DefaultGrace is how long members that were not seen yet may take to start.
const DefaultGrace = 10 * time.Minute

// What Run refuses to begin or go on with. Each is wrapped with one clear line.
var (
	// ErrCluster: the store holds another cluster, none where one must be, or a
	// damaged history.
	ErrCluster = errors.New("wrong cluster")
	// ErrName: the node's name is another machine's or another process's.
	ErrName = errors.New("node name taken")
	// ErrSettings: a setting contradicts the cluster's.
	ErrSettings = errors.New("settings differ from the cluster's")
	// ErrMode: the mode asked for cannot be had now.
	ErrMode = errors.New("mode refused")
	// ErrCrash, as a context's cause, ends Run at once and without a word.
	ErrCrash = errors.New("crashed")
	// ErrDebugFenced ends a node of a debug cluster that would have been fenced.
	ErrDebugFenced = errors.New("fenced in debug mode")
)
