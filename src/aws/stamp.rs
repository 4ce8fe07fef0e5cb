//! What a login changes: files, looked at by their times and sizes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A cache with more files than this is not looked at to its end.
const MOST_FILES: usize = 1000;

/// The files credentials come from, for one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    /// Directories in which any file may be the one.
    directories: Vec<PathBuf>,
}

/// How they were at one moment; two that differ mean that somebody has changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, Option<Look>)>);

/// Enough to see any change: a file that is replaced has another number, one that is written another time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    number: u64,
    size: u64,
    /// Seconds and nanoseconds; of the last change of its contents, and of anything about it.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// The configuration files and the caches of logins, where the environment or the home directory has them.
    pub(super) fn of_process() -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let aws = variable("HOME").map(|home| home.join(".aws"));
        let file = |name, usual: &str| variable(name).or_else(|| Some(aws.as_ref()?.join(usual)));
        let mut files: Vec<PathBuf> = [
            file("AWS_CONFIG_FILE", "config"),
            file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
        ]
        .into_iter()
        .flatten()
        .collect();
        files.dedup();
        let caches = ["sso/cache", "cli/cache", "login/cache"];
        Self {
            files,
            directories: aws.map_or_else(Vec::new, |aws| caches.iter().map(|cache| aws.join(cache)).collect()),
        }
    }

    /// One more file.
    pub(super) fn add(&mut self, file: &Path) {
        if !self.files.iter().any(|known| known == file) {
            self.files.push(file.to_owned());
        }
    }

    /// Without the caches, which other programs write as well.
    pub(super) fn without_caches(&self) -> Self {
        Self {
            files: self.files.clone(),
            directories: Vec::new(),
        }
    }

    /// How all of them are now. Reads directories, so beside the runtime.
    pub(super) async fn look(&self) -> Stamp {
        let watched = self.clone();
        let looked = tokio::task::spawn_blocking(move || watched.look_now()).await;
        // Only a runtime that ends cancels it.
        looked.unwrap_or(Stamp(Vec::new()))
    }

    fn look_now(&self) -> Stamp {
        let mut paths = self.files.clone();
        for directory in &self.directories {
            let Ok(entries) = std::fs::read_dir(directory) else {
                continue;
            };
            paths.extend(entries.flatten().take(MOST_FILES).map(|entry| entry.path()));
        }
        paths.sort();
        Stamp(
            paths
                .into_iter()
                .map(|path| {
                    // What a link points to counts.
                    let look = std::fs::metadata(&path).ok().map(|metadata| Look::of(&metadata));
                    (path, look)
                })
                .collect(),
        )
    }
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self {
            number: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn each_kind_of_change_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        let file = directory.path().join("config");
        let watched = Watched {
            files: vec![file.clone()],
            directories: vec![cache.clone()],
        };
        let mut last = watched.look().await;
        assert_eq!(watched.look().await, last, "nothing has changed");
        let changes: [(&str, &dyn Fn()); 6] = [
            ("a file", &|| fs::write(&file, "a").unwrap()),
            ("its contents", &|| fs::write(&file, "bb").unwrap()),
            ("a directory", &|| fs::create_dir(&cache).unwrap_or_default()),
            ("a file in it", &|| fs::write(cache.join("x.json"), "x").unwrap()),
            ("a file replaced by one of the same size", &|| {
                fs::write(directory.path().join("new"), "y").unwrap();
                fs::rename(directory.path().join("new"), cache.join("x.json")).unwrap();
            }),
            ("a file gone", &|| fs::remove_file(&file).unwrap()),
        ];
        for (what, change) in changes {
            change();
            let now = watched.look().await;
            // An empty directory gives nothing to log in with.
            assert_eq!(now == last, what == "a directory", "{what}");
            last = now;
        }
        assert_eq!(watched.without_caches().directories, Vec::<PathBuf>::new());
    }
}
