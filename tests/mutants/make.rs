//! Mutants of a program: its source with one small mistake in it, of a kind that people make.

use std::collections::HashSet;
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, Lit, Local, Pat, RangeLimits, Stmt, UnOp};

/// Names that are written for one another by mistake. A pair works in both directions.
const RIVALS: [(&str, &str); 27] = [
    ("MAP_SHARED", "MAP_PRIVATE"),
    ("MAP_FIXED", "MAP_FIXED_NOREPLACE"),
    ("MS_SYNC", "MS_ASYNC"),
    ("PROT_READ", "PROT_NONE"),
    ("O_RDONLY", "O_RDWR"),
    ("O_WRONLY", "O_RDWR"),
    ("O_TRUNC", "O_APPEND"),
    ("O_EXCL", "O_TRUNC"),
    ("SEEK_SET", "SEEK_CUR"),
    ("SEEK_END", "SEEK_CUR"),
    ("SIG_DFL", "SIG_IGN"),
    ("SigDfl", "SigIgn"),
    ("SIGPIPE", "SIGTERM"),
    ("SIGBUS", "SIGSEGV"),
    ("SIGUSR1", "SIGUSR2"),
    ("SIGCHLD", "SIGUSR2"),
    ("SIG_BLOCK", "SIG_UNBLOCK"),
    ("POLLIN", "POLLOUT"),
    ("EINTR", "EAGAIN"),
    ("ENXIO", "EEXIST"),
    ("SUCCESS", "FAILURE"),
    ("write_all", "write"),
    ("map_mut", "map_copy"),
    ("stderr", "stdout"),
    ("min", "max"),
    ("create_new", "create"),
    ("pread", "read"),
];

/// A program with one mistake.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What kind of mistake it is.
    pub kind: &'static str,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// That line, without the white space around it.
    pub on: String,
    /// The text that was replaced, its white space made one blank.
    pub was: String,
    /// What stands there instead.
    pub became: String,
    /// The whole source.
    pub source: String,
}

/// All mutants of a source, in its order. A function that stands the same in many programs is as well tested by the
/// mutants of one: those whose text is in `seen` are passed over, the others are put there.
///
/// # Errors
/// What keeps the text from being Rust.
pub fn mutants(source: &str, seen: &mut HashSet<String>) -> syn::Result<Vec<Mutant>> {
    let file = syn::parse_file(source)?;
    let mut maker = Maker { source, seen, edits: Vec::new() };
    maker.visit_file(&file);
    maker.edits.sort_by_key(|edit| edit.range.start);
    let changed = maker.edits.into_iter().filter(|edit| source[edit.range.clone()] != edit.became);
    Ok(changed.map(|edit| edit.apply(source)).collect())
}

struct Edit {
    kind: &'static str,
    range: Range<usize>,
    became: String,
}

impl Edit {
    fn apply(self, source: &str) -> Mutant {
        let was = &source[self.range.clone()];
        let line = source[..self.range.start].matches('\n').count();
        Mutant {
            kind: self.kind,
            line: line + 1,
            on: source.lines().nth(line).unwrap_or_default().trim().to_owned(),
            was: on_one_line(was),
            became: on_one_line(&self.became),
            source: [&source[..self.range.start], &self.became, &source[self.range.end..]].concat(),
        }
    }
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Maker<'a> {
    source: &'a str,
    seen: &'a mut HashSet<String>,
    edits: Vec<Edit>,
}

impl Maker<'_> {
    fn text(&self, span: Span) -> &str {
        &self.source[span.byte_range()]
    }

    fn replace(&mut self, kind: &'static str, span: Span, became: impl Into<String>) {
        self.edits.push(Edit { kind, range: span.byte_range(), became: became.into() });
    }

    fn swap(&mut self, kind: &'static str, one: Span, other: Span) {
        let range = one.byte_range().start..other.byte_range().end;
        let between = &self.source[one.byte_range().end..other.byte_range().start];
        let became = [self.text(other), between, self.text(one)].concat();
        self.edits.push(Edit { kind, range, became });
    }

    fn negate(&mut self, condition: &Expr) {
        if !has_let(condition) {
            let became = format!("!({})", self.text(condition.span()));
            self.replace("condition negated", condition.span(), became);
        }
    }

    /// Whether a statement does nothing but give a local variable another value, which its neighbour does not name, and
    /// goes on after that: they have no order.
    fn is_apart(&self, statement: &Stmt, neighbour: &Stmt) -> bool {
        let Some((variable, value)) = assigned(statement) else { return false };
        let mentions =
            |text: &str, word: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word);
        let neighbour = self.text(neighbour.span());
        !mentions(neighbour, &variable)
            && !self.text(value.span()).contains(['(', '?'])
            && !["break", "continue", "return"].iter().any(|word| neighbour.starts_with(word))
    }

    fn rival(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        for (one, other) in RIVALS {
            if text == one {
                self.replace("name mistaken", name.span(), other);
            } else if text == other {
                self.replace("name mistaken", name.span(), one);
            }
        }
    }
}

/// A statement that could be left out or done at another time.
fn is_action(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Expr(_, Some(_)) | Stmt::Macro(_))
}

/// The function that a statement calls: two calls of one, `drop(a); drop(b);`, seldom have an order.
fn called(statement: &Stmt) -> Option<String> {
    match statement {
        Stmt::Expr(Expr::Call(call), _) => match &*call.func {
            Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        },
        Stmt::Expr(Expr::MethodCall(call), _) => Some(call.method.to_string()),
        _ => None,
    }
}

/// The variable that a statement gives a value, and the value.
fn assigned(statement: &Stmt) -> Option<(String, &Expr)> {
    let Stmt::Expr(expression, Some(_)) = statement else { return None };
    let (left, right) = match expression {
        Expr::Assign(assignment) => (&assignment.left, &assignment.right),
        Expr::Binary(binary) => match binary.op {
            BinOp::AddAssign(_) | BinOp::SubAssign(_) => (&binary.left, &binary.right),
            _ => return None,
        },
        _ => return None,
    };
    match &**left {
        Expr::Path(path) => path.path.get_ident().map(|name| (name.to_string(), &**right)),
        _ => None,
    }
}

/// `if`, `loop` and the like where no value is wanted.
fn is_block_like(statement: &Stmt) -> bool {
    matches!(
        statement,
        Stmt::Expr(Expr::If(_) | Expr::While(_) | Expr::ForLoop(_) | Expr::Match(_) | Expr::Unsafe(_), None)
    )
}

fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// What is written for an operator by mistake.
fn other_operator(operator: &BinOp) -> Option<&'static str> {
    Some(match operator {
        BinOp::Lt(_) => "<=",
        BinOp::Le(_) => "<",
        BinOp::Gt(_) => ">=",
        BinOp::Ge(_) => ">",
        BinOp::Eq(_) => "!=",
        BinOp::Ne(_) => "==",
        BinOp::Add(_) => "-",
        BinOp::Sub(_) => "+",
        BinOp::Mul(_) => "+",
        BinOp::And(_) => "||",
        BinOp::Or(_) => "&&",
        BinOp::AddAssign(_) => "-=",
        BinOp::SubAssign(_) => "+=",
        _ => return None,
    })
}

/// A size in units of 1024: a buffer as good with one byte more.
fn is_size(expression: &Expr) -> bool {
    match expression {
        Expr::Binary(syn::ExprBinary { left, op: BinOp::Mul(_) | BinOp::Shl(_), right, .. }) => {
            is_size(left) || is_size(right) || matches!(**left, Expr::Lit(_)) && matches!(**right, Expr::Lit(_))
        }
        Expr::Lit(syn::ExprLit { lit: Lit::Int(number), .. }) => {
            number.base10_parse::<u64>().is_ok_and(|value| value >= 1024 && value.is_power_of_two())
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Maker<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let text = self.text(function.span()).to_owned();
        if self.seen.insert(text) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        if !is_size(&constant.expr) {
            visit::visit_item_const(self, constant);
        }
    }

    fn visit_block(&mut self, block: &'ast Block) {
        let last = block.stmts.len().saturating_sub(1);
        for (index, statement) in block.stmts.iter().enumerate() {
            if is_action(statement) || (is_block_like(statement) && index != last) {
                self.replace("left out", statement.span(), "");
            }
            if let Stmt::Expr(Expr::Try(attempt), Some(_)) = statement {
                let became = format!("let _ = {};", self.text(attempt.expr.span()));
                self.replace("error ignored", statement.span(), became);
            }
        }
        for pair in block.stmts.windows(2) {
            let names = [called(&pair[0]), called(&pair[1])];
            let apart = self.is_apart(&pair[0], &pair[1]) || self.is_apart(&pair[1], &pair[0]);
            if pair.iter().all(is_action) && (names[0].is_none() || names[0] != names[1]) && !apart {
                self.swap("order swapped", pair[0].span(), pair[1].span());
            }
        }
        visit::visit_block(self, block);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if let Pat::Tuple(tuple) = &local.pat
            && let [one @ Pat::Ident(_), other @ Pat::Ident(_)] = tuple.elems.iter().collect::<Vec<_>>()[..]
        {
            self.swap("ends swapped", one.span(), other.span());
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        if let BinOp::BitOr(_) = binary.op {
            self.replace("flag left out", binary.span(), self.text(binary.left.span()).to_owned());
            self.replace("flag left out", binary.span(), self.text(binary.right.span()).to_owned());
        } else if let Some(other) = other_operator(&binary.op) {
            self.replace("operator mistaken", binary.op.span(), other);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_if(&mut self, choice: &'ast syn::ExprIf) {
        self.negate(&choice.cond);
        visit::visit_expr_if(self, choice);
    }

    fn visit_expr_while(&mut self, repetition: &'ast syn::ExprWhile) {
        self.negate(&repetition.cond);
        visit::visit_expr_while(self, repetition);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if let UnOp::Not(_) = unary.op {
            self.replace("not left out", unary.span(), self.text(unary.expr.span()).to_owned());
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_range(&mut self, range: &'ast syn::ExprRange) {
        if range.end.is_some() {
            let other = if let RangeLimits::HalfOpen(_) = range.limits { "..=" } else { ".." };
            self.replace("bound off by one", range.limits.span(), other);
        }
        visit::visit_expr_range(self, range);
    }

    fn visit_lit(&mut self, literal: &'ast Lit) {
        match literal {
            Lit::Int(number) => {
                if let Ok(value) = number.base10_parse::<u64>() {
                    let next = value.wrapping_add(1);
                    self.replace("number off by one", number.span(), format!("{next}{}", number.suffix()));
                }
            }
            Lit::Bool(truth) => self.replace("truth turned round", truth.span(), (!truth.value).to_string()),
            _ => {}
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        for pair in call.args.iter().collect::<Vec<_>>().windows(2) {
            self.swap("arguments swapped", pair[0].span(), pair[1].span());
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.rival(&call.method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        if choice.arms.len() > 1 {
            for arm in &choice.arms {
                self.replace("case left out", arm.span(), "");
            }
        }
        visit::visit_expr_match(self, choice);
    }

    fn visit_expr_break(&mut self, stop: &'ast syn::ExprBreak) {
        if stop.expr.is_none() {
            self.replace("goes on", stop.span(), "continue");
        }
        visit::visit_expr_break(self, stop);
    }

    fn visit_expr_continue(&mut self, next: &'ast syn::ExprContinue) {
        self.replace("gives up", next.span(), "break");
    }

    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.rival(&segment.ident);
        visit::visit_path_segment(self, segment);
    }

    /// What a buffer holds before it is read into, and how long it is, make no mistake.
    fn visit_expr_repeat(&mut self, _: &'ast syn::ExprRepeat) {}

    /// An attribute is no part of what the program does.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    /// A `use` of another name is another name for a mistake made elsewhere.
    fn visit_item_use(&mut self, _: &'ast syn::ItemUse) {}
}
