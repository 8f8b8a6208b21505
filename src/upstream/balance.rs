//! Which endpoint takes a request: the healthy one with the fewest requests outstanding on this worker.

use super::health::Standing;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Its place in the configuration.
    pub(super) index: usize,
    /// Whether it is to be used.
    pub(super) standing: Standing,
    /// Requests it has not finished.
    pub(super) outstanding: usize,
}

/// The best of `candidates`. Of equals it is the first, so that who rotates them shares the load.
///
/// An endpoint that is due to be tried again goes before all others, because one request is what it takes to find out;
/// the caller claims that request and leaves the endpoint out if another has claimed it. When none is healthy, the one
/// whose back-off ends first is tried all the same: a request that might succeed is better than one that cannot.
pub(super) fn choose(candidates: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    candidates.min_by_key(|candidate| match candidate.standing {
        Standing::ProbeDue => (0, 0, candidate.outstanding),
        Standing::Healthy => (1, 0, candidate.outstanding),
        Standing::Unhealthy(badness) => (2, badness, candidate.outstanding),
    })
}

#[cfg(test)]
mod tests {
    use super::Standing::{Healthy, ProbeDue, Unhealthy};
    use super::*;

    fn chosen(candidates: &[(Standing, usize)]) -> Option<usize> {
        let candidates = candidates.iter().enumerate();
        choose(candidates.map(|(index, (standing, outstanding))| Candidate {
            index,
            standing: *standing,
            outstanding: *outstanding,
        }))
        .map(|candidate| candidate.index)
    }

    #[test]
    fn the_least_outstanding_healthy_one_is_chosen() {
        assert_eq!(chosen(&[(Healthy, 2), (Healthy, 1), (Healthy, 1)]), Some(1));
        assert_eq!(chosen(&[(Unhealthy(5), 0), (Healthy, 9)]), Some(1));
        assert_eq!(chosen(&[(Healthy, 0), (ProbeDue, 3)]), Some(1));
        assert_eq!(chosen(&[(Unhealthy(9), 0), (Unhealthy(5), 7), (Unhealthy(u64::MAX), 0)]), Some(1));
        assert_eq!(chosen(&[]), None);
    }
}
