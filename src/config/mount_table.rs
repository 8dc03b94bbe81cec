//! `[mount.NAME]` tables: mounts that have a name, for fstab, for units and for people.
//!
//! ```toml
//! [mount.photos]
//! sources = ["acct/photos", "backup"]
//! mountpoint = "/mnt/photos"
//! attr-ttl = "5s"
//! ```
//!
//! `blobcp mount photos` is that mount, `blobcp mount photos DIR` is the same at another place, and a line of fstab
//! names it as its source. The other keys are those of `[mount]`, and come before them.

use std::path::PathBuf;

use crate::config::Settings;

/// A mount that has a name.
#[derive(Debug, Clone, Default)]
pub(crate) struct MountTable {
    /// What is mounted, each as on the command line.
    pub(crate) sources: Vec<String>,
    /// The usual place of it.
    pub(crate) mountpoint: Option<PathBuf>,
    pub(crate) settings: Settings,
}

impl MountTable {
    /// Reads the table called `name`. The error does not show values, which may be secrets.
    pub(super) fn read(name: &str, mut table: toml::Table) -> Result<Self, String> {
        if name.is_empty() || name.starts_with(['-', '@']) || name.contains(['/', ',', ':']) {
            return Err("a mount's name has none of / , : and begins with neither - nor @".into());
        }
        let sources = match table.remove("sources") {
            Some(toml::Value::String(text)) => Some(split(&text)),
            Some(toml::Value::Array(list)) => {
                list.into_iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            Some(_) => None,
            None => return Err("sources is missing: a list of ACCOUNT, ACCOUNT/CONTAINER or URLs".into()),
        };
        let sources = sources.filter(|sources| !sources.is_empty());
        let sources = sources.ok_or("sources must be a list of texts, each in quotes")?;
        let mountpoint = match table.remove("mountpoint") {
            None => None,
            Some(toml::Value::String(path)) if path.starts_with('/') => Some(path.into()),
            Some(_) => return Err("mountpoint must be an absolute path in quotes".into()),
        };
        let settings =
            toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        Ok(Self { sources, mountpoint, settings })
    }
}

/// `ACCOUNT,ACCOUNT`, as fstab has room for one word: the sources in it. Neither a URL, whose token has commas, nor a
/// directory in a container, which is mounted alone and may have some in its name, is taken apart.
pub(crate) fn split(word: &str) -> Vec<String> {
    let first = word.split(',').next().unwrap_or_default();
    if word.contains(['?', '@']) || word.contains("://") || first.matches('/').count() > 1 {
        return vec![word.to_owned()];
    }
    word.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn read(text: &str) -> Result<MountTable, String> {
        MountTable::read("m", text.parse().unwrap())
    }

    #[rstest]
    #[case("acct", &["acct"])]
    #[case("acct,other", &["acct", "other"])]
    #[case("acct/photos,other/backup,", &["acct/photos", "other/backup"])]
    #[case("acct/photos/a,b", &["acct/photos/a,b"])]
    #[case("https://acct.blob.core.windows.net/c?spr=https,http&sig=x", &["https://acct.blob.core.windows.net/c?spr=https,http&sig=x"])]
    fn one_word_has_several_sources(#[case] word: &str, #[case] expected: &[&str]) {
        assert_eq!(split(word), expected);
    }

    #[test]
    fn a_table_has_sources_a_place_and_settings() {
        let table = read("sources = ['a', 'b/c']\nmountpoint = '/mnt/x'\nuid = 7").unwrap();
        assert_eq!((table.sources, table.mountpoint), (vec!["a".to_owned(), "b/c".to_owned()], Some("/mnt/x".into())));
        assert_eq!(table.settings.uid, Some(7));
        assert_eq!(read("sources = 'a,b'").unwrap().sources, ["a", "b"]);
    }

    #[rstest]
    #[case("uid = 1", "sources is missing")]
    #[case("sources = []", "sources must be")]
    #[case("sources = [1]", "sources must be")]
    #[case("sources = 1", "sources must be")]
    #[case("sources = 'a'\nmountpoint = 'mnt'", "mountpoint must be")]
    #[case("sources = 'a'\nuidd = 1", "unknown field `uidd`")]
    #[case("sources = 'a'\ncopy-wait = 'maybe'", "must be yes or no, or on or off")]
    fn mistakes_are_named(#[case] text: &str, #[case] expected: &str) {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_name_is_no_source_of_another_kind() {
        for name in ["", "a/b", "a,b", "https:", "-o", "@f"] {
            assert!(MountTable::read(name, "sources = 'a'".parse().unwrap()).is_err(), "{name}");
        }
    }
}
