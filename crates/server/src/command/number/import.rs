//! `callveil number import`: a pool from a CSV file.
//!
//! The whole file is read before anything is written, so that a faulty line leaves the pool as it was.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use callveil_domain::number::PhoneNumber;
use callveil_domain::tenant::{Directory, Tenant};
use callveil_domain::virtual_number::{FlowId, Lending, NumberType, Region, VirtualNumber};
use clap::Args;
use csv::{ReaderBuilder, StringRecord, Trim};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::add::Added;
use super::put;
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Import virtual numbers from a CSV file into a tenant's pool
///
/// The columns are number, region, number_type and flow; all but the number may be empty or left out. A first line
/// with these names gives their order. Lines that begin with # are passed over. When a line is faulty nothing is
/// imported, unless --keep-going is given. Importing a file again is harmless: a number that the tenant has
/// already takes the file's region, type and flow, and is open again. A running server lends the numbers within a
/// second.
#[derive(Args, Debug)]
#[command(after_long_help = "Example, with numbers.csv:
  number,region,number_type
  +918000000001,KA,mobile
  +918000000002,MH,landline

  callveil number import --tenant acme numbers.csv")]
pub struct Import {
    #[command(flatten)]
    of: OfTenant,
    /// The file; - reads standard input
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Import the lines that are sound, and tell of the others; the exit code is 1 when there are any
    #[arg(long)]
    keep_going: bool,
}

impl Import {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Import { of, file, keep_going } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let lines = read_file(&file, &tenant, &at.node.directory())?;
            if !lines.faults.is_empty() && !keep_going {
                return Err(lines.refused(&file));
            }
            put_with_progress(at, &tenant, &lines.numbers).await?;
            let ending = if lines.faults.is_empty() { Ending::Done } else { Ending::Refused };
            out.show(&Imported { added: Added::new(&tenant, &lines.numbers), refused: lines.faults })?;
            Ok(ending)
        })
    }
}

/// What a file holds.
#[derive(Debug, Default)]
struct Lines {
    numbers: Vec<VirtualNumber>,
    faults: Vec<Fault>,
}

/// A line that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fault {
    line: u64,
    why: String,
}

fn read_file(path: &Path, tenant: &Tenant, directory: &Directory) -> Result<Lines, CommandError> {
    let doing = || format!("reading {}", path.display());
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| CommandError::new(doing(), e))?)
    };
    read_lines(source, tenant, directory).map_err(|why| CommandError::new(doing(), why))
}

/// Reads every line; what is wrong with single ones is told in the answer, and only a file that cannot be read as
/// a whole is a failure.
fn read_lines(source: impl Read, tenant: &Tenant, directory: &Directory) -> Result<Lines, String> {
    let mut rows = rows(source)?;
    let named = match rows.first() {
        Some((line, cells)) => Order::named(cells).map_err(|e| format!("line {line} {e}"))?,
        None => None,
    };
    if named.is_some() {
        rows.remove(0);
    }
    let order = named.unwrap_or(Order::USUAL);
    let mut seen: HashMap<PhoneNumber, u64> = HashMap::new();
    let mut lines = Lines::default();
    for (line, cells) in rows {
        let number = order.number(&cells, tenant).and_then(|number| {
            check_new(&number, line, tenant, directory, &mut seen)?;
            Ok(number)
        });
        match number {
            Ok(number) => lines.numbers.push(number),
            Err(why) => lines.faults.push(Fault { line, why }),
        }
    }
    Ok(lines)
}

/// The cells of every line that has some. Each line is read by itself, so that its number is that of a text
/// editor.
fn rows(source: impl Read) -> Result<Vec<(u64, StringRecord)>, String> {
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(source).lines()) {
        let place = |why: &dyn fmt::Display| format!("line {line}: {why}");
        let text = text.map_err(|e| place(&e))?;
        // Spreadsheets begin a file with this mark of its encoding.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let reader = ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(text.as_bytes());
        for cells in reader.into_records() {
            rows.push((line, cells.map_err(|e| place(&e))?));
        }
    }
    Ok(rows)
}

fn check_new(
    number: &VirtualNumber,
    line: u64,
    tenant: &Tenant,
    directory: &Directory,
    seen: &mut HashMap<PhoneNumber, u64>,
) -> Result<(), String> {
    if let Some(first) = seen.insert(number.number, line) {
        return Err(format!("{} stands on line {first} already", number.number.expose()));
    }
    match directory.owner(number.number) {
        Some(owner) if owner.sid != tenant.sid => {
            Err(format!("{} is in the pool of another tenant", number.number.expose()))
        }
        Some(_) | None => Ok(()),
    }
}

/// Which column stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    number: usize,
    region: Option<usize>,
    number_type: Option<usize>,
    flow: Option<usize>,
}

impl Order {
    const USUAL: Order = Order { number: 0, region: Some(1), number_type: Some(2), flow: Some(3) };

    /// The order that a first line gives, if it is one of names.
    fn named(record: &StringRecord) -> Result<Option<Order>, String> {
        const KNOWN: [&str; 4] = ["number", "region", "number_type", "flow"];
        let names: Vec<String> = record.iter().map(str::to_ascii_lowercase).collect();
        let is_known = |name: &String| KNOWN.contains(&name.as_str());
        if !names.iter().any(is_known) {
            return Ok(None);
        }
        if let Some(strange) = names.iter().find(|name| !is_known(name)) {
            return Err(format!("names a column '{strange}'; the columns are {}", KNOWN.join(", ")));
        }
        let place = |name: &str| names.iter().position(|other| other == name);
        let Some(number) = place("number") else {
            return Err("names no column 'number'".to_owned());
        };
        Ok(Some(Order {
            number,
            region: place("region"),
            number_type: place("number_type"),
            flow: place("flow"),
        }))
    }

    fn number(&self, record: &StringRecord, tenant: &Tenant) -> Result<VirtualNumber, String> {
        let cell = |place: Option<usize>| place.and_then(|p| record.get(p)).filter(|text| !text.is_empty());
        let last = [Some(self.number), self.region, self.number_type, self.flow].into_iter().flatten().max();
        if last.is_some_and(|last| record.iter().skip(last + 1).any(|cell| !cell.is_empty())) {
            return Err(format!("has {} columns, which is more than there are names for", record.len()));
        }
        let text = cell(Some(self.number)).ok_or("has no number")?;
        let number = PhoneNumber::parse(text, tenant.settings.country)
            .map_err(|why| format!("'{text}' is not a telephone number: {why}"))?;
        Ok(VirtualNumber {
            number,
            region: cell(self.region).map(Region::parse).transpose().map_err(|e| e.to_string())?,
            number_type: cell(self.number_type)
                .map(NumberType::parse)
                .transpose()
                .map_err(|e| e.to_string())?,
            flow: cell(self.flow).map(FlowId::parse).transpose().map_err(|e| e.to_string())?,
            state: Lending::Open,
        })
    }
}

/// How many faults are told one by one.
const TOLD: usize = 20;

impl Lines {
    fn refused(&self, file: &Path) -> CommandError {
        let faults = &self.faults;
        let all = self.numbers.len() + faults.len();
        let mut details: Vec<String> = faults.iter().take(TOLD).map(ToString::to_string).collect();
        if faults.len() > TOLD {
            details.push(format!("and {} more", faults.len() - TOLD));
        }
        let why = format!("{} of {all} lines are faulty, and nothing was imported", faults.len());
        CommandError::new(format!("importing {}", file.display()), why)
            .fix("correct them, or import the others with --keep-going")
            .details(details)
    }
}

/// A bar on a terminal when it is worth one.
async fn put_with_progress(
    at: &Installation,
    tenant: &Tenant,
    numbers: &[VirtualNumber],
) -> Result<(), CommandError> {
    let long = numbers.len() > 1_000 && io::stderr().is_terminal();
    let bar = if long { ProgressBar::new(numbers.len() as u64) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} numbers, {eta} left");
    bar.set_style(style.expect("law: the template is well formed"));
    let done = put(at, &tenant.sid, numbers, &|done| bar.set_position(done as u64)).await;
    bar.finish_and_clear();
    done
}

#[derive(Serialize)]
struct Imported {
    #[serde(flatten)]
    added: Added,
    refused: Vec<Fault>,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.added.fmt(f)?;
        self.refused.iter().try_for_each(|fault| write!(f, "\nnot imported: {fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

#[cfg(test)]
mod tests {
    use callveil_domain::settings::Settings;
    use callveil_domain::tenant::Sid;
    use callveil_domain::virtual_number::{Load, Pool, Pooled};

    use super::*;

    fn tenant(sid: &str, numbers: &[&str]) -> Tenant {
        let settings = Settings::default();
        let pooled = |text: &&str| Pooled {
            number: VirtualNumber {
                number: PhoneNumber::parse(text, settings.country).unwrap(),
                region: None,
                number_type: None,
                flow: None,
                state: Lending::Open,
            },
            load: Load::default(),
        };
        let pool = Pool::new(numbers.iter().map(pooled).collect());
        Tenant::new(Sid::parse(sid).unwrap(), settings, pool, Vec::new())
    }

    fn read(text: &str) -> Result<Lines, String> {
        let (ours, theirs) = (tenant("acme", &["+918000000009"]), tenant("other", &["+918000000077"]));
        let directory = Directory::new(1, vec![ours.clone(), theirs], Vec::new());
        read_lines(text.as_bytes(), &ours, &directory)
    }

    fn check(text: &str, expected: &[&str]) {
        let lines = read(text).unwrap();
        assert_eq!(lines.faults, []);
        let told = |n: &VirtualNumber| {
            let VirtualNumber { number, region, number_type, flow, state: _ } = n;
            let region = region.as_ref().map_or("", Region::as_str);
            let kind = number_type.map_or("", NumberType::as_str);
            format!("{} {region} {kind} {}", number.expose(), flow.as_ref().map_or("", FlowId::as_str))
        };
        assert_eq!(lines.numbers.iter().map(told).collect::<Vec<_>>(), expected, "{text:?}");
    }

    fn check_fault(text: &str, line: u64, why: &str) {
        let faults = read(text).unwrap().faults;
        assert!(faults.iter().any(|f| f.line == line && f.why.contains(why)), "{text:?}: {faults:?}");
    }

    #[test]
    fn columns_stand_in_their_usual_order_or_as_named() {
        check("+918000000001,KA,mobile", &["+918000000001 KA mobile "]);
        check(
            "+918000000001\n\n# a remark\n+918000000002,,,f1\n",
            &["+918000000001   ", "+918000000002   f1"],
        );
        check("Number_Type, number\nlandline, 8000000001\n", &["+918000000001  landline "]);
        check("\u{feff}number,region\r\n+918000000001,mh\r\n", &["+918000000001 MH  "]);
        check("\u{feff}+918000000001", &["+918000000001   "]);
        check("number,region,number_type\n+918000000009,KA,mobile", &["+918000000009 KA mobile "]);
    }

    #[test]
    fn each_faulty_line_is_named_with_its_reason() {
        check_fault("+918000000001\n12", 2, "'12' is not a telephone number");
        check_fault("number\n+918000000001\n\n+918000000001", 4, "stands on line 2 already");
        check_fault("+918000000001,K A", 1, "a region is");
        check_fault("+918000000001,KA,fixed", 1, "mobile, landline or tollfree");
        check_fault("+918000000001,KA,mobile,f1,x", 1, "more than there are names for");
        check_fault(",KA,mobile", 1, "has no number");
        check_fault("+918000000077", 1, "another tenant");
    }

    #[test]
    fn a_header_that_is_not_understood_is_refused() {
        assert!(read("number,city\n+918000000001,X").unwrap_err().contains("'city'"));
        assert!(read("region\nKA").unwrap_err().contains("no column 'number'"));
    }
}
