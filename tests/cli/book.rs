//! `book`: pages that stand alone and find one another.

use std::collections::BTreeSet;
use std::fs;

use crate::accessible::must_be_accessible;
use crate::program::{complains, prints, syslings};

#[test]
fn a_book_is_whole_needs_no_network_and_leads_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("book");
    let text = prints(syslings(&["book", "--out"]).arg(&out), 0);
    assert!(text.contains("index.html"), "{text}");
    let files: BTreeSet<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut reached = BTreeSet::from(["index.html".to_owned()]);
    for name in files.iter().filter(|name| name.ends_with(".html")) {
        let page = fs::read_to_string(out.join(name)).unwrap();
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">") && !page.contains("<script"), "{name}");
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        for link in page.split("href=\"").chain(page.split("src=\"")).skip(1).filter_map(|rest| rest.split('"').next())
        {
            if link.starts_with('#') || link.starts_with("https://") || link.contains('<') {
                continue;
            }
            assert!(files.contains(link), "{name} leads to {link}");
            reached.insert(link.to_owned());
        }
        assert!(page.split("<img ").skip(1).all(|image| image.contains("alt=\"")), "{name}");
    }
    let pages: Vec<&str> = files.iter().map(String::as_str).filter(|name| name.ends_with(".html")).collect();
    must_be_accessible(&out, &pages);
    let lost: Vec<&String> = files.difference(&reached).filter(|name| *name != "comparison.html").collect();
    assert!(lost.is_empty(), "nothing leads to {lost:?}");
    // An earlier book is written over, other people's files are not.
    prints(syslings(&["book", "--out"]).arg(&out), 0);
    fs::write(dir.path().join("letter"), "dear").unwrap();
    assert!(complains(syslings(&["book", "--out"]).arg(dir.path()), 2).contains("files of others"));
    assert!(complains(syslings(&["book", "--out"]).arg(dir.path().join("letter")), 2).contains("not a directory"));
    assert!(complains(syslings(&["book", "--report", "Cargo.toml", "--out"]).arg(&out), 2).contains("Cargo.toml"));
}
