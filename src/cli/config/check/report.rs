//! What was found out about an account, for people and for programs.

use serde_json::{Map, Value, json};

/// What was found out about a source.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub rows: Vec<(&'static str, String)>,
    /// What keeps it from working.
    pub troubles: Vec<String>,
}

impl Report {
    pub(super) fn row(&mut self, name: &'static str, text: impl Into<String>) {
        self.rows.push((name, text.into()));
    }

    pub(super) fn trouble(&mut self, text: impl Into<String>) {
        self.troubles.push(text.into());
    }

    pub(super) fn text(&self, of: &str) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let rows = self.rows.iter().map(|(name, text)| format!("  {name:width$}  {text}\n"));
        let troubles = self.troubles.iter().map(|text| format!("! {text}\n"));
        format!("{of}\n{}", rows.chain(troubles).collect::<String>())
    }

    pub(super) fn json(&self, of: &str) -> String {
        let rows = self.rows.iter().map(|(name, text)| (name.replace(' ', "_"), Value::from(text.as_str())));
        let mut object: Map<String, Value> = [("source".to_owned(), Value::from(of))].into_iter().collect();
        object.extend(rows);
        object.insert("troubles".into(), json!(self.troubles));
        format!("{}\n", Value::from(object))
    }
}
