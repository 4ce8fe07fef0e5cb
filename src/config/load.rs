//! Finds the files of a configuration, reads them, and puts them together.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::paths::Environment;
use super::problem::{Invalid, Problems, Source};
use super::settings::Settings;
use super::trust::{self, Access, Me};
use super::{document, file, validate};

/// No configuration a person writes is longer, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file is there.
    #[error("no configuration at {}; write one (config/autossm.toml is a commented sample) or name it with --config", alternatives(.searched))]
    Missing {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The disk does not answer: a network that is away, for example.
    #[error("the configuration could not be read within {}; is it on a network that is away?", humantime::format_duration(*.after))]
    Slow {
        /// How long was waited.
        after: Duration,
    },
    /// What is there has problems.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

fn alternatives(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

/// Reads and validates the configuration that is `named`, or else the first of the usual places that has one.
///
/// # Errors
/// [`LoadError`]; [`LoadError::Invalid`] holds every problem of all files.
pub fn load(named: Option<&Path>, environment: &Environment) -> Result<Settings, LoadError> {
    load_files(&find(named, environment)?, Me::from_process(), environment)
}

/// The files [`load`] reads, in their order: `config.toml` and `config.d/*.toml` of a directory, or the one that is named.
///
/// # Errors
/// [`LoadError::Missing`].
pub fn find(named: Option<&Path>, environment: &Environment) -> Result<Vec<PathBuf>, LoadError> {
    let places = named.map_or_else(|| environment.config_directories(), |path| vec![path.to_owned()]);
    for place in &places {
        let files = if named.is_some() && !place.is_dir() {
            Vec::from_iter(is_there(place).then(|| place.clone()))
        } else {
            files_in(place)
        };
        if !files.is_empty() {
            return Ok(files);
        }
    }
    let searched = places
        .into_iter()
        .map(|place| {
            if named.is_some() {
                place
            } else {
                place.join("config.toml")
            }
        })
        .collect();
    Err(LoadError::Missing { searched })
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let main = directory.join("config.toml");
    let drop_ins = directory.join("config.d");
    let mut more: Vec<PathBuf> = match fs::read_dir(&drop_ins) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| is_configuration(path))
            .collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Vec::new(),
        // Reading it as a file says why it cannot be read.
        Err(_) => vec![drop_ins],
    };
    more.sort();
    is_there(&main).then_some(main).into_iter().chain(more).collect()
}

/// Whether `path` is meant to be read: not a backup or hidden file of an editor.
fn is_configuration(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "toml")
}

/// Whether something is there, readable or not: an unreadable file is not passed over in silence.
fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

pub(super) fn load_files(files: &[PathBuf], me: Me, environment: &Environment) -> Result<Settings, LoadError> {
    let mut problems = Problems::default();
    let mut sources = Vec::with_capacity(files.len());
    for path in files {
        match read(path, me, &mut problems) {
            Ok(text) => sources.push(Source {
                path: path.clone(),
                text,
            }),
            Err(error) => problems.whole(path, format!("cannot be read: {error}"), advice(&error)),
        }
    }
    Ok(assemble_with(&sources, environment, problems)?)
}

/// Reads a file; what is wrong with whose it is goes to `problems`.
fn read(path: &Path, me: Me, problems: &mut Problems) -> io::Result<String> {
    for (place, access, stranger) in trust::strangers_on_the_way(path, me)? {
        let (message, hint) = trust::explain(&place, access, stranger, me);
        problems.whole(&place, message, hint);
    }
    let file = open(path)?;
    if let Some((message, hint)) = trust::distrust(path, Access::of(&file.metadata()?), me) {
        problems.whole(path, message, hint);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_FILE {
        let message = format!("it is longer than {LONGEST_FILE} bytes, which is no configuration");
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error
            .as_bytes()
            .iter()
            .take(valid)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        io::Error::new(ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
    })
}

/// Opens a file. A pipe would be waited for until somebody writes to it, and reading a device may do anything.
fn open(path: &Path) -> io::Result<File> {
    only_files(&path.metadata()?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    // It may be another one by now.
    only_files(&file.metadata()?)?;
    Ok(file)
}

fn only_files(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let message = format!("it is {what}, not a file");
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

fn advice(error: &io::Error) -> &'static str {
    const ADVICE: [(ErrorKind, &str); 5] = [
        (ErrorKind::PermissionDenied, "let the user who runs autossm read it"),
        (ErrorKind::FileTooLarge, "name the right file with --config"),
        (ErrorKind::InvalidData, "save it as UTF-8"),
        (
            ErrorKind::InvalidInput,
            "write the configuration into a file; `autossm` reads it again at each reload",
        ),
        (ErrorKind::NotFound, "a link leads nowhere; repair or remove it"),
    ];
    let advice = ADVICE.iter().find(|(kind, _)| *kind == error.kind());
    advice.map_or("see what `cat` says about it", |(_, advice)| advice)
}

/// Validates `text`, which was read from `path`.
///
/// # Errors
/// Every problem of the text.
pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Settings, Invalid> {
    let source = Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    assemble(&[source], environment)
}

/// Validates the files of one configuration. Sessions of all of them count; of a key that several have in `[defaults]` or
/// `[log]`, the last counts.
///
/// # Errors
/// Every problem of all files.
pub fn assemble(sources: &[Source], environment: &Environment) -> Result<Settings, Invalid> {
    assemble_with(sources, environment, Problems::default())
}

fn assemble_with(sources: &[Source], environment: &Environment, mut problems: Problems) -> Result<Settings, Invalid> {
    let mut whole = file::File::default();
    for (index, source) in sources.iter().enumerate() {
        let root = document::read(index, &source.text, &mut problems);
        whole.merge(file::read(root, &mut problems));
    }
    let settings = validate::validate(&whole, environment, &mut problems);
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems.locate(sources))
    }
}
