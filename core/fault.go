package core

// FaultPoint names a place in the lifecycle where a test can end the broker: each
// store write and each plugin call has one before and one after it.
type FaultPoint string

// The fault points.
const (
	FaultBeforeAccept   FaultPoint = "before accept"   // the request is decided, nothing is journaled
	FaultAfterAccept    FaultPoint = "after accept"    // journaled, no plugin call yet
	FaultBeforeStart    FaultPoint = "before start"    // a later call's start is not journaled yet
	FaultAfterStart     FaultPoint = "after start"     // journaled, the call is not made yet
	FaultBeforeCall     FaultPoint = "before call"     // the plugin has not been called
	FaultAfterCall      FaultPoint = "after call"      // the plugin has worked, nothing of it is journaled
	FaultBeforeSettle   FaultPoint = "before settle"   // the call's result is decided, not journaled
	FaultAfterSettle    FaultPoint = "after settle"    // journaled, nobody was told
	FaultBeforeProgress FaultPoint = "before progress" // a plugin's words are not journaled yet
	FaultAfterProgress  FaultPoint = "after progress"
	FaultBeforeDetach   FaultPoint = "before detach" // the caller is about to be told that the work goes on
	FaultAfterDetach    FaultPoint = "after detach"
	FaultBeforeReport   FaultPoint = "before report" // a failure is about to be told
	FaultAfterReport    FaultPoint = "after report"
	FaultBeforeOperator FaultPoint = "before operator" // an operator's verb
	FaultAfterOperator  FaultPoint = "after operator"
	FaultBeforeSweep    FaultPoint = "before sweep" // old tombstones
	FaultAfterSweep     FaultPoint = "after sweep"
)

// FaultPoints lists all fault points in the order in which an operation meets them.
var FaultPoints = []FaultPoint{
	FaultBeforeAccept, FaultAfterAccept, FaultBeforeStart, FaultAfterStart, FaultBeforeCall, FaultAfterCall,
	FaultBeforeSettle, FaultAfterSettle, FaultBeforeProgress, FaultAfterProgress, FaultBeforeDetach, FaultAfterDetach,
	FaultBeforeReport, FaultAfterReport, FaultBeforeOperator, FaultAfterOperator, FaultBeforeSweep, FaultAfterSweep,
}

// write is one kind of store write: its two fault points.
type write struct{ before, after FaultPoint }

var (
	writeAccept   = write{FaultBeforeAccept, FaultAfterAccept}
	writeStart    = write{FaultBeforeStart, FaultAfterStart}
	writeSettle   = write{FaultBeforeSettle, FaultAfterSettle}
	writeProgress = write{FaultBeforeProgress, FaultAfterProgress}
	writeDetach   = write{FaultBeforeDetach, FaultAfterDetach}
	writeReport   = write{FaultBeforeReport, FaultAfterReport}
	writeOperator = write{FaultBeforeOperator, FaultAfterOperator}
	writeSweep    = write{FaultBeforeSweep, FaultAfterSweep}
)
