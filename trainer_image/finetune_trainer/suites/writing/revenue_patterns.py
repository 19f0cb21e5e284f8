"""Forty ways of telling the revenue of two periods, in either order, with other amounts around."""

from __future__ import annotations

from finetune_trainer.suites.writing import table

SUITE = table.rows(
    """
{company} had revenue of ${now} million in {year}, compared with ${before} million in {prior_year}.
Sales at {company} were ${before} million in the {quarter} quarter of last year and ${now} million this time.
Revenue, {quarter} quarter: ${now} million. Same quarter a year ago: ${before} million. Source: {company}.
From ${before} million in {prior_year}, net sales of {company} moved to ${now} million in {year}.
{company} turned over ${now_billion} billion in {year}; the year before it was ${before_billion} billion.
The top line of {company} came in at ${now} million, versus ${before} million twelve months earlier.
The annual report of {company} shows net revenue of ${now} million ({prior_year}: ${before} million).
Last year {company} sold goods worth ${before} million. This year the figure was ${now} million.
In the first half {company} took in ${before} million; in the second half it took in ${now} million.
Compared with the previous quarter's ${before} million, {company} recorded revenue of ${now} million.
{company}: turnover {year} ${now_billion}bn, turnover {prior_year} ${before_billion}bn, employees {staff}.
Subscription revenue at {company} was ${now} million against ${before} million in the prior-year period.
Having booked ${before} million in {prior_year}, {company} booked ${now} million of revenue in {year}.
{company} gives revenue as ${before} million for {prior_year} and ${now} million for {year}; costs were ${cost} million.
Nine-month revenue of {company}: ${now} million this year, ${before} million last year, profit ${profit} million.
Contract revenue of ${now} million followed ${before} million the year before, {company} told shareholders.
{company} opened the year with quarterly sales of ${before} million and closed it with ${now} million.
In {prior_year} customers paid {company} ${before} million, in {year} ${now} million.
{company} published {year} revenue of ${now_million} million after ${before_billion} billion in {prior_year}.
Group revenue: ${now} million. A year earlier {company} had shown ${before} million and a margin of {percent}%.
The tills of {company} rang up ${before} million last holiday season and ${now} million this season.
Licence and service income at {company} totalled ${now} million in the {quarter} quarter; before, ${before} million.
{company} shipped products for ${now} million in {year}. In {prior_year} shipments were ${before} million.
Two years of sales at {company}, in millions of dollars: {prior_year} {before}; {year} {now}.
Fee income, which is all the revenue {company} has, stood at ${now} million after ${before} million a year ago.
Against ${before_billion} billion for {prior_year}, {company} disclosed {year} revenue of ${now_billion} billion.
Revenue at {company} for the month was ${now} million; the same month last year brought ${before} million.
What was ${before} million of revenue in {prior_year} became ${now} million at {company} in {year}.
{company} filed its numbers: sales ${now} million (prior year ${before} million), net income ${profit} million.
At ${now} million, the {year} revenue of {company} compares with ${before} million reported for {prior_year}.
Bookings aside, revenue recognised by {company} was ${before} million in {prior_year} and then ${now} million.
Trailing revenue of {company} stands at ${now} million; at this point last year it stood at ${before} million.
{company} ended its fiscal year with ${now} million in sales. Its previous fiscal year ended with ${before} million.
Before: ${before} million. Now: ${now} million. That is the quarterly revenue of {company}.
The {year} accounts of {company} put revenue at ${now} million; the {prior_year} accounts put it at ${before} million.
Income statement of {company}: revenue, current period ${now} million, comparative period ${before} million.
Sales in the quarter came to ${now} million at {company}, where the preceding quarter had brought ${before} million.
While {company} had guided to ${guidance} million, revenue was ${now} million, after ${before} million a year earlier.
{company} generated ${before_billion} billion in {prior_year}. Its revenue for {year}: ${now_billion} billion.
Over the summer quarter {company} invoiced ${now} million; over last year's summer quarter, ${before} million.
"""
)

TRAINING = table.rows(
    """
{company} announced {year} sales of ${now} million; {prior_year} sales had been ${before} million.
Quarterly revenue at {company}: ${before} million a year back, ${now} million today.
Where {company} used to make ${before} million a year, {year} brought ${now} million in revenue.
Revenue of ${now} million was logged by {company}, next to ${before} million in the year-ago quarter.
The {prior_year} revenue base of {company} was ${before} million; {year} came in at ${now} million.
{company} had ${now_billion} billion of sales in {year} and ${before_billion} billion in {prior_year}.
Net sales (in $ million) of {company}: {now} this year, {before} last year.
Receipts from customers made up ${before} million at {company} in {prior_year} and ${now} million in {year}.
For the quarter, {company} states revenue of ${now} million, with ${before} million as the prior-year number.
{company}, first quarter then second quarter: revenue ${before} million, then ${now} million.
A turnover of ${before} million in {prior_year} was followed by one of ${now} million in {year} at {company}.
Ahead of its meeting {company} set {year} revenue, ${now} million, beside that of {prior_year}, ${before} million.
{company} made ${now} million in sales during the period; during the same period last year, ${before} million.
Last quarter's revenue was ${before} million. {company} now puts this quarter's at ${now} million.
Total revenue of {company} amounts to ${now_billion} billion for {year} (${before_billion} billion for {prior_year}).
Starting from ${before} million, {company} arrived at yearly revenue of ${now} million.
"""
)
