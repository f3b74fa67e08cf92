//! Numbers of conditions: whole ones exactly, others as binary fractions.

use std::cmp::Ordering;

/// A number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(i128),
    /// Always finite.
    Fraction(f64),
}

/// Why two numbers have no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResult {
    DivisionByZero,
    OutOfRange,
}

impl Number {
    /// Reads digits with at most one dot and at most one leading minus. Anything else, and what is out of
    /// range, is not a number.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let shaped = digits.chars().any(|c| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
            && digits.matches('.').count() <= 1;
        if !shaped {
            None
        } else if digits.contains('.') {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Fraction)
        } else {
            text.parse().ok().map(Self::Whole)
        }
    }

    fn as_fraction(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Fraction(number) => number,
        }
    }

    pub(super) fn is_zero(self) -> bool {
        self.compare(Self::Whole(0)) == Ordering::Equal
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => left.cmp(&right),
            // total_cmp tells -0.0 from 0.0, which nobody means here
            (left, right) => left.as_fraction().partial_cmp(&right.as_fraction()).unwrap_or(Ordering::Equal),
        }
    }

    pub(super) fn add(self, other: Self) -> Result<Self, NoResult> {
        self.combine(other, i128::checked_add, |left, right| left + right)
    }

    pub(super) fn subtract(self, other: Self) -> Result<Self, NoResult> {
        self.combine(other, i128::checked_sub, |left, right| left - right)
    }

    pub(super) fn multiply(self, other: Self) -> Result<Self, NoResult> {
        self.combine(other, i128::checked_mul, |left, right| left * right)
    }

    /// True division: 5 / 2 is 2.5. A division without remainder stays whole, hence exact.
    pub(super) fn divide(self, other: Self) -> Result<Self, NoResult> {
        if other.is_zero() {
            return Err(NoResult::DivisionByZero);
        }
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) if left.checked_rem(right) == Some(0) => {
                left.checked_div(right).map(Self::Whole).ok_or(NoResult::OutOfRange)
            }
            (left, right) => finite(left.as_fraction() / right.as_fraction()),
        }
    }

    fn combine(
        self,
        other: Self,
        whole: fn(i128, i128) -> Option<i128>,
        fraction: fn(f64, f64) -> f64,
    ) -> Result<Self, NoResult> {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => {
                whole(left, right).map(Self::Whole).ok_or(NoResult::OutOfRange)
            }
            (left, right) => finite(fraction(left.as_fraction(), right.as_fraction())),
        }
    }
}

fn finite(number: f64) -> Result<Number, NoResult> {
    if number.is_finite() { Ok(Number::Fraction(number)) } else { Err(NoResult::OutOfRange) }
}
