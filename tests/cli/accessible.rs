//! Pages as they are for a person who does not see them well, or has no mouse: looked at in a real browser, in light and in
//! dark, where a browser is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs in the browser: the rules, and what breaks them on the pages that it is given.
const CHECKER: &str = include_str!("accessible.js");
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// A browser that has not answered by then does not work here.
const SECONDS: &str = "180";
/// As Chromium numbers them.
const SCHEMES: [(&str, u8); 2] = [("dark", 0), ("light", 1)];

/// Every page of these must break no rule. Where no browser answers, that is said, and nothing is known.
pub fn must_be_accessible(directory: &Path, names: &[&str]) {
    let base = format!("<head><base href=\"file://{}/\">", directory.canonicalize().unwrap().display());
    let page = |name: &&str| {
        let text = fs::read_to_string(directory.join(name)).unwrap();
        ((*name).to_owned(), text.replacen("<head>", &base, 1))
    };
    let pages: Vec<(String, String)> = names.iter().map(page).collect();
    if let Some(findings) = findings(&pages) {
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}

/// Lines `PAGE: RULE: WHERE`, and the scheme in which it was found.
fn findings(pages: &[(String, String)]) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let checker = dir.path().join("checker.html");
    // Nothing in a page may end the script.
    let pages = serde_json::to_string(pages).unwrap().replace('<', "\\u003c");
    let head = "<meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">";
    fs::write(&checker, format!("<!DOCTYPE html>{head}<body><script>const pages = {pages};\n{CHECKER}</script>"))
        .unwrap();
    let mut all = Vec::new();
    for scheme in SCHEMES {
        match BROWSERS.iter().find_map(|browser| answer(browser, dir.path(), &checker, scheme)) {
            Some(lines) => all.extend(lines.into_iter().map(|line| format!("{line} (in {})", scheme.0))),
            None => {
                eprintln!("no Chromium answers here: whether the pages are accessible was not looked at");
                return None;
            }
        }
    }
    Some(all)
}

fn answer(browser: &str, dir: &Path, checker: &Path, (scheme, number): (&str, u8)) -> Option<Vec<String>> {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", SECONDS, browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    command.arg(format!("--blink-settings=preferredColorScheme={number}"));
    let output =
        command.arg("--virtual-time-budget=600000").arg(format!("file://{}", checker.display())).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, answer) = text.rsplit_once("<body>LOOKED AT ")?;
    let (answer, _) = answer.split_once("\nEND OF FINDINGS")?;
    let (head, lines) = answer.split_once('\n')?;
    let plain = |line: &str| line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    head.ends_with(scheme).then(|| lines.lines().filter(|line| !line.is_empty()).map(plain).collect())
}

const SOUND: &str = r##"<!DOCTYPE html><html lang="en"><head><title>Sound</title><style>
body { color: #333; background: #fff } .wide { overflow: auto; width: 100px } a { color: inherit }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #111 } }
</style></head><body><nav aria-label="Pages"><a href="#a">one</a></nav><main><h1 id="a">A page</h1><h2>A part</h2>
<p>Words</p><img src="data:," alt="a picture"><svg role="img" aria-label="a drawing" width="40" height="20"><rect width="40" height="20" fill="#fff"/>
<text y="15" fill="#333">x</text></svg><div class="wide" tabindex="0" role="region" aria-label="wide"><pre>a line that is too wide for it</pre></div>
<table><thead><tr><th>n</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table><button>Do</button></main></body></html>"##;

/// Each breaks one rule: what is sound, and what takes its place.
const PLANTED: [(&str, &str, &str); 16] = [
    ("language", " lang=\"en\"", ""),
    ("title", "Sound", ""),
    ("text alternative", " alt=\"a picture\"", ""),
    ("text alternative", " aria-label=\"a drawing\"", ""),
    ("name of a link or control", ">Do<", "><"),
    ("order of headings", "<h2>A part</h2>", "<h4>A part</h4>"),
    ("landmark", "<main>", "<div>Words</div><main>"),
    ("landmark", "</nav>", "</nav><nav><a href=\"#a\">two</a></nav>"),
    ("duplicate id", "<h2>", "<h2 id=\"a\">"),
    ("header of a table", "<th>n</th>", "<td>n</td>"),
    ("reached by the keyboard", "<button>", "<button tabindex=\"-1\">"),
    ("scrolled by the keyboard", " tabindex=\"0\" role=\"region\" aria-label=\"wide\"", ""),
    // In a narrow window alone.
    (
        "scrolled by the keyboard",
        "<p>Words</p>",
        "<div style=\"overflow: auto\"><p style=\"width: 900px\">Words</p></div>",
    ),
    ("contrast", "<p>", "<p style=\"color: #888\">"),
    ("contrast", "<p>", "<p style=\"background: #777\">"),
    ("contrast", "fill=\"#fff\"", "fill=\"#777\""),
];

#[test]
fn the_checker_finds_whatever_is_planted_and_nothing_else() {
    let mut pages = vec![("sound".to_owned(), SOUND.to_owned())];
    for (number, (_, sound, broken)) in PLANTED.iter().enumerate() {
        assert!(SOUND.contains(sound), "{sound}");
        pages.push((number.to_string(), SOUND.replacen(sound, broken, 1)));
    }
    let Some(findings) = findings(&pages) else { return };
    let rules_broken = |page: &str| -> Vec<&str> {
        let begin = format!("{page}: ");
        let of_page = findings.iter().filter_map(|line| line.strip_prefix(&begin));
        of_page.filter_map(|line| line.split(": ").next()).collect()
    };
    assert!(rules_broken("sound").is_empty(), "{findings:#?}");
    for (number, (rule, ..)) in PLANTED.iter().enumerate() {
        let broken = rules_broken(&number.to_string());
        assert!(broken.contains(rule) && broken.iter().all(|other| other == rule), "{number}: {rule}: {findings:#?}");
    }
}
