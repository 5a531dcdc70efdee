//! How a command ends when it does not succeed.

use std::error::Error;
use std::path::Path;

use crate::gpu::GpuError;
use crate::graph::PlanError;
use crate::infer::InferError;
#[cfg(feature = "train")]
use crate::train::TrainError;

/// Why a command stopped.
#[derive(Debug)]
pub(super) enum CliError {
    /// The command line cannot be right.
    Usage(String),
    /// It could be right, but failed.
    Failed {
        /// What was being done, or to which file.
        context: Option<String>,
        /// Why it failed.
        cause: Box<dyn Error>,
    },
    /// Nobody reads stdout any more.
    BrokenPipe,
}

impl CliError {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A failure told in one sentence.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { context: None, cause: message.into().into() }
    }

    /// This failure, told of a file.
    pub fn at(self, path: &Path) -> Self {
        match self {
            Self::Failed { context: None, cause } => Self::Failed { context: Some(path.display().to_string()), cause },
            other => other,
        }
    }

    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed { .. } => 1,
            Self::BrokenPipe => 0,
        }
    }

    /// The whole chain of causes on one line; what a cause repeats is said once.
    pub fn chain(&self) -> String {
        match self {
            Self::Usage(message) => message.clone(),
            Self::BrokenPipe => "stdout is closed".to_owned(),
            Self::Failed { context, cause } => {
                let mut text = context.clone().unwrap_or_default();
                let mut next: Option<&dyn Error> = Some(cause.as_ref());
                while let Some(error) = next {
                    let words = error.to_string();
                    if text.is_empty() || repeats(&words, &text) {
                        text = words;
                    } else if !text.contains(&words) {
                        text = format!("{text}: {words}");
                    }
                    next = error.source();
                }
                match remedy(cause.as_ref()) {
                    Some(option) => format!("{text} ({option})"),
                    None => text,
                }
            }
        }
    }
}

/// Whether words begin with the name of what they are about.
fn repeats(words: &str, about: &str) -> bool {
    words.strip_prefix(about).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The option that does what an error advises.
fn remedy(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(cause);
    while let Some(error) = next {
        // Wrappers that are transparent do not show what they wrap as their source.
        let plan = match error.downcast_ref() {
            Some(InferError::Plan(plan)) => Some(plan),
            _ => error.downcast_ref::<PlanError>(),
        };
        #[cfg(feature = "train")]
        let plan = match error.downcast_ref() {
            Some(TrainError::Plan(plan) | TrainError::Infer(InferError::Plan(plan))) => Some(plan),
            _ => plan,
        };
        if let Some(InferError::WindowTooLarge { .. }) = error.downcast_ref() {
            return Some("--roi chooses the window, --device another adapter");
        }
        let memory = |e: &GpuError| matches!(e, GpuError::OutOfMemory { .. });
        let too_large = plan.is_some_and(|e| match e {
            PlanError::Gpu(e) => memory(e),
            other => matches!(other, PlanError::TooLarge { .. }),
        });
        if too_large || error.downcast_ref().is_some_and(memory) {
            return Some("--device chooses another adapter");
        }
        #[cfg(feature = "train")]
        match error.downcast_ref() {
            Some(TrainError::RunExists { .. }) => return Some("--resume goes on with it"),
            Some(TrainError::NoRun { .. }) => return Some("leave out --resume"),
            Some(TrainError::NothingFits { .. } | TrainError::OtherMeaning { .. }) => return Some("leave out --init"),
            Some(TrainError::NotFinite { .. }) => return Some("--init starts from a model"),
            _ => {}
        }
        next = error.source();
    }
    None
}

impl<E: Error + 'static> From<E> for CliError {
    fn from(cause: E) -> Self {
        Self::Failed { context: None, cause: Box::new(cause) }
    }
}

/// Names what an error is about.
pub(super) trait Context<T> {
    fn about(self, what: impl Into<String>) -> Result<T, CliError>;

    fn at(self, path: &Path) -> Result<T, CliError>
    where
        Self: Sized,
    {
        self.about(path.display().to_string())
    }
}

impl<T, E: Error + 'static> Context<T> for Result<T, E> {
    fn about(self, what: impl Into<String>) -> Result<T, CliError> {
        self.map_err(|cause| CliError::Failed { context: Some(what.into()), cause: Box::new(cause) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{path}: {source}")]
    struct Inner {
        path: String,
        source: std::io::Error,
    }

    #[test]
    fn chains_say_everything_once() {
        let inner = || Inner { path: "a/b.nii".into(), source: std::io::Error::other("disk full") };
        let error = Err::<(), _>(inner()).at(Path::new("a/b.nii"));
        assert_eq!(error.map_err(|e| e.chain()), Err("a/b.nii: disk full".to_owned()));
        let error = Err::<(), _>(inner()).at(Path::new("a"));
        assert_eq!(error.map_err(|e| e.chain()), Err("a: a/b.nii: disk full".to_owned()), "another name");
        let error = Err::<(), _>(inner()).about("writing the result");
        let text = error.map_err(|e| e.chain());
        assert_eq!(text, Err("writing the result: a/b.nii: disk full".to_owned()));
        assert_eq!(CliError::failed("no").chain(), "no");
        let memory = CliError::from(PlanError::from(GpuError::OutOfMemory { what: "weights".into() }));
        assert!(memory.chain().ends_with("(--device chooses another adapter)"), "{}", memory.chain());
        assert_eq!([CliError::usage("").code(), CliError::failed("").code(), CliError::BrokenPipe.code()], [2, 1, 0]);
    }
}
