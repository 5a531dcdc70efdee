use crate::graph::{GraphError, PlanError};
use crate::weights::WeightsError;

/// Why a network could not be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The graph cannot be built or differentiated.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph cannot run on this device.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file of weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A reference file lacks something or does not fit.
    #[error("reference file: {0}")]
    Reference(String),
}
