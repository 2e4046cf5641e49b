package probes

import "math"

// How many failures in a row Confirmations may ask for. Fewer than three would
// let one lost packet and its neighbour roll back; more than twenty would make a
// path that loses most of its packets impossible to judge.
const (
	minConfirmations = 3
	maxConfirmations = 20
)

// rateFloor is the failure rate assumed where less was measured: by the rule of
// three, even 3,000 clean attempts only show that it is below one in a thousand.
const rateFloor = 1e-3

// budgetSlack is how far above the budget still counts as on it. The rate is
// measured, good to a digit or two, and one attempt more divides it by 50.
const budgetSlack = 1.2

// Confirmations is how many failures in a row, the first one included, make a
// cut, so that losses alone cause at most falseRollbacksPerHour over all paths.
//
// failureRate is how often an attempt fails that should not, 0 to 1; anything
// below one in a thousand, or no number, counts as that. attemptsPerHour is over
// all paths. A run of n failures begins with a failure after a success, so
// there are attemptsPerHour·(1-p)·pⁿ of them. At 1 % packet loss an attempt fails
// with 2 %, and 100 paths at 10 Hz need 7 for 4·10⁻⁶ an hour (protocol.md §6).
// The answer is from 3 to 20.
func Confirmations(failureRate, falseRollbacksPerHour, attemptsPerHour float64) int {
	p := rateFloor
	if failureRate > p {
		p = failureRate
	}
	for n := minConfirmations; n < maxConfirmations; n++ {
		expected := attemptsPerHour * (1 - p) * math.Pow(p, float64(n))
		if p < 1 && expected <= falseRollbacksPerHour*budgetSlack {
			return n
		}
	}
	return maxConfirmations
}
