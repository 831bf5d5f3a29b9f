package sim

import (
	"time"

	"github.com/chordkv/chord/node"
)

// Scenario is a whole simulation as a value: the network, the nodes, what happens to them and what is asked of them. Its text form is one
// YAML file, in which a field's name is the Go name in small letters with hyphens (StabilizeInterval: stabilize-interval), durations have a
// unit (30s, 1h30m), and what is left out has its default. A scenario and the version of the program determine every step of the run.
type Scenario struct {
	Name        string
	Description string

	Seed     uint64        // of all streams of chance; default 1
	Nodes    int           // processes that are members, or join, at the start
	Memory   int           // bytes that the run may take by an estimate; default: what the machine has available
	VNodes   int           `yaml:"vnodes"` // ring nodes that each process hosts; default 1
	Groups   int           // racks or regions: process i is in group i modulo Groups; default 1
	Zones    bool          // each group is a zone, over which replicas are spread
	Duration time.Duration // virtual time with churn, faults and workload
	Warmup   time.Duration // the first part of Duration, which the totals leave out; the series shows it
	Heal     time.Duration // after Duration, faults end and the dead come back; within Heal the ring must be ideal and all data complete; 0: no such demand
	Series   time.Duration // between two rows of the series; default 10s

	Start        string        // ideal: the ring is there at time 0 (default); join: one process founds it and the others join
	JoinInterval time.Duration // between two joins of start: join; default 100ms
	Crash        string        // machine: it falls silent and loses what was not synced (default); process: calls are refused, the disk has all

	Node     node.Config // default: that of chordd, but FingerCandidates is 1
	Network  Network
	Disk     Disk
	Gossip   Gossip
	Churn    []Churn
	Workload []Workload
	Faults   []Fault
	Checks   Checks
}

// The values of Scenario.Start and Scenario.Crash.
const (
	StartIdeal   = "ideal"
	StartJoin    = "join"
	CrashMachine = "machine"
	CrashProcess = "process"
)

// Network describes the links between processes.
type Network struct {
	Latency   LatencySpec
	Loss      float64 // probability that a message is lost, 0 to 1
	Duplicate float64 // probability that a request arrives twice, 0 to 1
	Bandwidth int     // bytes per second that a process can send; 0: no limit
}

// Disk describes the disk of each machine.
type Disk struct {
	SyncInterval time.Duration // a crash of the machine loses what was written in the last such interval; 0: nothing that was acknowledged
	SyncLatency  time.Duration // of a write that is synced before it is acknowledged
}

// LatencySpec names a latency model. All times are one way; only matrix files hold round trips.
type LatencySpec struct {
	Model string        // constant, uniform, exponential, space, internet or matrix; default internet
	Mean  time.Duration // of constant, exponential and space; default 50ms
	Min   time.Duration // of uniform
	Max   time.Duration // of uniform
	File  string        // of matrix, relative to the scenario file: round trips in ms, see ReadMatrix
}

// The latency models.
const (
	LatencyConstant    = "constant"
	LatencyUniform     = "uniform"
	LatencyExponential = "exponential"
	LatencySpace       = "space"
	LatencyInternet    = "internet"
	LatencyMatrix      = "matrix"
)

// Churn makes processes come and go. Several kinds may act at once; a process that one has taken down is left alone by the others.
type Churn struct {
	Kind  string        // sessions, poisson, flash-crowd, trace or groups
	From  time.Duration // when it begins
	Until time.Duration // when it ends; default: at Duration

	// sessions: every process is a member for a time drawn from On, then away for one drawn from Off, and so on.
	On     Distribution
	Off    Distribution // default: replaced at once. Of poisson and groups: how long a process stays down; default: for ever
	Absent float64      // fraction of the processes that begin away

	// sessions, poisson with Off, groups: who comes back.
	Return string // same: the same process with its disk (default); new: another one with an empty disk

	// sessions, flash-crowd: how a process ends.
	Leave float64 // probability that it leaves gracefully instead of crashing

	// poisson: events per second over the whole network.
	Joins   float64
	Leaves  float64
	Crashes float64
	Floor   int // no leave or crash if not more than this many processes are up; also of groups; default: Node.Successors + 1

	// flash-crowd: Count new processes join at From, spread evenly over Within.
	Count  int
	Within time.Duration
	Stay   Distribution // how long each stays; default: until the end

	// trace: File has lines "time,node,event", see ReadTrace.
	File string

	// groups: correlated failures. One group of Scenario.Groups crashes at exponential intervals of this mean.
	Interval time.Duration
	Share    float64 // of the members of the group that crash; default 1
}

// The kinds of churn, and the values of Churn.Return.
const (
	ChurnSessions   = "sessions"
	ChurnPoisson    = "poisson"
	ChurnFlashCrowd = "flash-crowd"
	ChurnTrace      = "trace"
	ChurnGroups     = "groups"
	ReturnSame      = "same"
	ReturnNew       = "new"
)

// Distribution is one of times. Of Mean, Median and Scale exactly one is given.
type Distribution struct {
	Kind   string        // exponential (default), pareto, weibull or constant
	Mean   time.Duration // of constant: the value
	Median time.Duration
	Scale  time.Duration // of pareto: the least value; of weibull: lambda
	Shape  float64       // of pareto: alpha; of weibull: k
}

// The kinds of Distribution.
const (
	DistExponential = "exponential"
	DistPareto      = "pareto"
	DistWeibull     = "weibull"
	DistConstant    = "constant"
)

// Workload issues operations of one kind, as a Poisson process. A mix is several of them: their sum is a Poisson process too.
type Workload struct {
	Op    string        // lookup, put, get, delete, cas, incr or touch
	Style string        // of lookup: iterative (default) or recursive
	Rate  float64       // operations per second
	Per   string        // global: over the whole network, each from a member chosen uniformly (default); node: from each member
	From  time.Duration // when it begins
	Until time.Duration // when it ends; default: at Duration

	Keys         int           // how many keys there are, key-0 to key-(Keys-1), of incr count-0 and so on; of lookup, 0 (default) means random identifiers
	Distribution string        // of the keys: uniform (default) or zipf
	Exponent     float64       // of zipf, over 0: key-i is chosen in proportion to 1/(i+1)^Exponent; default 0.99
	ValueBytes   int           // of put and cas; default 100
	Level        string        // of all but lookup: one, quorum (default) or all
	Retries      int           // how often a failed operation is begun anew by the same process
	Timeout      time.Duration // for all attempts together; default 10s
	TTL          time.Duration `yaml:"ttl"` // of put and touch: how long the value is there; 0: for ever
	Preload      time.Duration // of put: first every key is written once, evenly over this time from From on; then the Poisson process begins
}

// The values of Workload.Op, Per and Distribution.
const (
	OpLookup  = "lookup"
	OpPut     = "put"
	OpGet     = "get"
	OpDelete  = "delete"
	OpCas     = "cas"   // read a key and put a value if that is still its version, or if it still has none
	OpIncr    = "incr"  // add 1 to a counter
	OpTouch   = "touch" // set when a key expires
	PerGlobal = "global"
	PerNode   = "node"
	Uniform   = "uniform"
	Zipf      = "zipf"
)

// Fault is something that goes wrong, once or again and again.
type Fault struct {
	Kind  string        // partition, oneway, loss, duplicate, slow, disk, pause, crash or clock
	At    time.Duration // when
	For   time.Duration // how long; 0: to the end of Duration
	Every time.Duration // mean of the exponential intervals at which it occurs again from At on; 0: once
	Until time.Duration // when repeating ends; default: at Duration

	// Who is hit by oneway, slow, disk, pause, crash and clock: exactly one of these. Random choices are drawn anew at each occurrence.
	Nodes []int   // processes by number
	Count int     // so many, at random
	Share float64 // this fraction of the processes, at random
	Group int     // the group with this number, from 1 on

	Shares      []float64     // of partition, instead of who (who: these are cut off from the rest): the sizes of the parts
	Probability float64       // of loss and duplicate, for all messages, instead of what Network says
	Factor      float64       // of slow and disk: their messages, or synced writes, take so many times as long
	Offset      time.Duration // of clock: added to the wall clock
	Drift       float64       // of clock: the wall clock gains so many seconds a second
	Return      string        // of crash: same (default) or new
}

// The kinds of Fault.
const (
	FaultPartition = "partition" // messages pass only within a part
	FaultOneWay    = "oneway"    // messages of those hit are lost; those to them arrive
	FaultLoss      = "loss"
	FaultDuplicate = "duplicate"
	FaultSlow      = "slow"
	FaultDisk      = "disk"  // synced writes take longer
	FaultPause     = "pause" // everything about them stands still, as by SIGSTOP
	FaultCrash     = "crash" // down for For, then restarted; what was not synced is lost
	FaultClock     = "clock" // offset and drift of the wall clock
)

// Checks says what is verified during the run. What a check finds is in Result.Violations; it ends the run.
type Checks struct {
	Every   time.Duration // between two checks of the ring; 0: only after Heal
	Ring    bool          // Zave's invariant and what follows from it
	Lookups bool          // every lookup ends at the right node; otherwise wrong ones are only counted
	Data    bool          // acknowledged writes are readable, deleted keys stay deleted, histories are what a register allows
}

// DefaultScenario returns what a file without a line means: an idle ring of 100 processes for 10 minutes.
func DefaultScenario() Scenario {
	return Scenario{
		Seed: 1, Nodes: 100, VNodes: 1, Groups: 1, Duration: 10 * time.Minute, Series: 10 * time.Second,
		Start: StartIdeal, JoinInterval: 100 * time.Millisecond, Crash: CrashMachine,
		Node: defaultConfig(), Network: Network{Latency: LatencySpec{Model: LatencyInternet}}, Gossip: DefaultGossip(),
	}
}
